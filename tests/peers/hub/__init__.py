"""The hub under test: its processes, and its configuration as an operator enters it."""
