"""Benchmarks of one webhook, compared with simpler programs that do less: `python -m tests.bench`."""
