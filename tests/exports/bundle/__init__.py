"""Tests of the file that proves itself."""
