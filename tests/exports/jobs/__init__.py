"""Tests of who makes an export, and when."""
