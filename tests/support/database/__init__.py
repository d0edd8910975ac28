"""The tests' databases, and what is asked of them."""
