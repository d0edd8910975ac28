"""Tests of the faults that are injected on demand."""
