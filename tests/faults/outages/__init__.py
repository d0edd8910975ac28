"""Targets that fail: all of their requests for a while, or a share of them at random."""
