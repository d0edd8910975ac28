"""Tests of the pages of replays: one event, many, progress."""
