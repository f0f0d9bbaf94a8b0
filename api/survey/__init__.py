"""What people said on every channel: questionnaires, imports of ballots, counts of answers."""
