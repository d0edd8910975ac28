"""How are values read that a remote system sent? Pure."""
