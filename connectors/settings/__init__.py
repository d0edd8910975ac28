"""How are a connection's settings read and validated? Pure."""
