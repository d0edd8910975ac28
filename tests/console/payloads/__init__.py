"""Tests of how personal content is masked."""
