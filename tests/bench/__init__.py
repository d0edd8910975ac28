"""What one webhook costs, side by side with simpler things that do less: `python -m tests.bench`."""
