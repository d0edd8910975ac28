"""Expressions and lookups of queries that Django does not have."""
