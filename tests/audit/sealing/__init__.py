"""Tests of how entries become signed segments."""
