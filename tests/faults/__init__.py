"""Promises that only show under faults: processes that die at any instruction, storms, and broken variants of the hub
that each test must catch.
"""
