"""Capture windows: which unverified requests are stored, and for how long."""
