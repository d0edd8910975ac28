"""Tests of logins, roles and preferences."""
