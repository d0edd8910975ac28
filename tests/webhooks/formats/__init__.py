"""Tests of requests in formats of their senders, and of how the senders are verified."""
