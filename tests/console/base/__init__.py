"""Tests of what the console's ModelAdmins build on."""
