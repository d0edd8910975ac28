"""Tests of the reference of all settings."""
