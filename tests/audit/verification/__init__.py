"""Tests of whether the log in the database is whole."""
