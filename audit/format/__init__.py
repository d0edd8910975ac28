"""Which bytes are hashed, packed and signed? Pure."""
