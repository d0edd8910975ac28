"""What may a request look like, and who signed it? Pure."""
