"""Tests of how a mapping is changed and tried on past events."""
