"""Tests of which events a filter or a period means."""
