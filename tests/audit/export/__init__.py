"""Tests of exports of the audit log, and of their verifiers."""
