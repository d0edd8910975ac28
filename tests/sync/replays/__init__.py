"""Tests of how a person sends events again: one, or thousands."""
