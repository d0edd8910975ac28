"""What one webhook may cost in statements, and whether each statement uses an index."""
