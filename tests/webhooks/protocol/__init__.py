"""Tests of what a request may look like, and who signed it."""
