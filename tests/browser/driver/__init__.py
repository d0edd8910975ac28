"""A real browser, and a hub that it can open."""
