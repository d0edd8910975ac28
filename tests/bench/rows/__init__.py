"""Rows that fill a database before a measurement."""
