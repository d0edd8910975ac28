"""Tests of what a worker process runs."""
