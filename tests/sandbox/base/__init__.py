"""Tests of what both stand-in services build on."""
