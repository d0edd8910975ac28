"""How is a signed token verified, and with which keys? Pure."""
