"""Rows that tests start from: plain functions, of which a test overrides what it is about."""
