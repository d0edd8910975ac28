"""Tests of how everything about one person is erased."""
