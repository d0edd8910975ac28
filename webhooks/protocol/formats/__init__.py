"""How are events read from requests in the sender's own format? Pure."""
