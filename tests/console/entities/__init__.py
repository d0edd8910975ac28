"""Tests of the page of one user, group or file."""
