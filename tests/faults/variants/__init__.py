"""Broken variants of the hub that the fault tests must catch."""
