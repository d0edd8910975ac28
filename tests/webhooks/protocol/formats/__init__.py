"""Tests of formats of webhooks."""
