"""Tests of promises that only show under faults: killed processes, load and failing systems.

Each test must also catch a broken variant of the hub.
"""
