"""Tests of how a request is authenticated."""
