"""Tests of the descriptions of settings."""
