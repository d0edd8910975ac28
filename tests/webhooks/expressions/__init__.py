"""Tests of `webhooks.expressions`."""
