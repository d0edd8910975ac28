"""Tests of when and where a delivery runs."""
