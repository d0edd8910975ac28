"""Tests of how one webhook is admitted, stored and answered."""
