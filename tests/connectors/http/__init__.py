"""Tests of how one HTTP exchange stays within its time, bytes and address."""
