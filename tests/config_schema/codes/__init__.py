"""Tests of the outcome codes and their messages."""
