"""The statistics of published figures: pure arithmetic, no database, no pages."""
