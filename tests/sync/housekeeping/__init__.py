"""Tests of what keeps the store bounded and the audit log provable."""
