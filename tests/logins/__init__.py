"""Tests of the limits of logins."""
