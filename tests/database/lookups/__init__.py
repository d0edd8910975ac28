"""Tests of lookups that answer any value."""
