"""Hostile input for tests."""
