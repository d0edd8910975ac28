"""Tests of what the console's pages are drawn with."""
