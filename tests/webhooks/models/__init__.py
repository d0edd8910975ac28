"""Tests of the tables of what came in."""
