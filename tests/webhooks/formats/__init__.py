"""Tests of requests in formats of their senders."""
