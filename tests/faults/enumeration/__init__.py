"""One webhook, killed at each of its operations."""
