"""Tests of which entries may be deleted, and by whom."""
