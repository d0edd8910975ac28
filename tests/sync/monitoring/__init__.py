"""Tests of whether the hub is well, and who is told."""
