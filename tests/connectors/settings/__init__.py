"""Tests of how the settings of a connection are read and refused."""
