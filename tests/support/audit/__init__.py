"""Audit log entries, whole logs and exports that tests build, tamper with and verify."""
