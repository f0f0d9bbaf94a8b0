"""Alerts: what of released figures and of the data's quality somebody should look at, told once."""
