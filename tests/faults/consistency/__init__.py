"""Comparison of the source, the two systems and the hub's tables."""
