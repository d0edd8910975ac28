"""Tests of the counts of events, failures and calls by the hour."""
