"""Tests of what changes when the clock of the machine is set."""
