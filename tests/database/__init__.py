"""Tests of `database`: group commit, write batches, cached reads, the SQLite backend."""
