"""Tests of whether a remote system may be called now."""
