"""Tests of the pages of erasures."""
