"""Tests of the pages of exports."""
