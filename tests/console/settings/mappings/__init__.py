"""Tests of the pages of mappings."""
