"""Tests of the table for reading in an export."""
