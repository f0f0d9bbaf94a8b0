"""The central program: ingest, trends and pages."""
