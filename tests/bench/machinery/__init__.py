"""Processes, databases and stand-in systems that run during a measurement."""
