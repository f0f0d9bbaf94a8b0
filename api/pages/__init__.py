"""The pages people read: supervisors and administrators."""
