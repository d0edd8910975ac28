"""Tests of promises that only show under faults: killed processes, load and failing systems.

`tests/mutants/variants/faults.toml` has broken versions of the hub that they must catch.
"""
