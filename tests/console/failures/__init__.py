"""Tests of the pages of failures."""
