"""Tests of the alarm pages."""
