"""How are a connection's settings read and refused? Pure."""
