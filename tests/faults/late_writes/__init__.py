"""Writes that reach the target after newer ones, of processes that were stopped or killed, and of a slow target."""
