"""The edge program: sources, worker, kiosk, outbox, uplink."""
