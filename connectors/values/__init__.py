"""How are values from a remote system read? Pure."""
