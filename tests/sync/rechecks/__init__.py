"""Tests of how a record is checked again after a write that may arrive late."""
