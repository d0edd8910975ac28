"""Tests of the pages of refusals."""
