"""Tests of the audit log's pages."""
