"""Tests of what must change, and when it is tried again."""
