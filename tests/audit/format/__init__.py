"""Tests of the bytes that are hashed, packed and signed."""
