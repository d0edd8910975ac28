"""Tests of how values are read that a remote system sent."""
