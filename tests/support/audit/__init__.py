"""Entries, logs and exports of the audit log, for tests to build, change and check."""
