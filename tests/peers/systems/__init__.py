"""The real systems: how each is installed, started, seeded, asked and stopped."""
