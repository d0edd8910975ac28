"""Tests of long-running jobs: one worker at a time, resumed, handed back, cancelled, failed."""
