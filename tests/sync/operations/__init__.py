"""Tests of what else an operator may decide: close, pause, triage."""
