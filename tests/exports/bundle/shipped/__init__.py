"""Tests of the files that are copied into every export."""
