"""Summaries of figures, their tables and targets."""
