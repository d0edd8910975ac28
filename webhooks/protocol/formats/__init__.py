"""How are events read from requests in the format of their sender? Pure."""
