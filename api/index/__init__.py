"""The satisfaction index: its formula, calibration, released sums, and figures of every place."""
