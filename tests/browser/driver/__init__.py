"""A real browser, and a hub that it can look at."""
