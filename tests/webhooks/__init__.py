"""Tests of `webhooks`."""
