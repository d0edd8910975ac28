"""Tests of requests for access."""
