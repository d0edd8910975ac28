"""Tests of the health of the hub, and of its alarms."""
