"""Tests of how entries of the audit log are appended and found."""
