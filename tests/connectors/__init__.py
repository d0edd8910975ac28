"""Tests of how the hub speaks to one kind of remote system."""
