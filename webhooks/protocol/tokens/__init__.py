"""How is a signed token verified, and by which keys? Pure."""
