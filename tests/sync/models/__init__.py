"""Tests of how what is delivered is stored and read."""
