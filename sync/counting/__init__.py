"""Counts by the hour, kept by the worker: right again soon after anything changed, made anew at will."""
