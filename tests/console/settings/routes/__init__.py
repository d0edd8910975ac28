"""Tests of the pages of routes."""
