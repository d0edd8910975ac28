"""How is an answer written for a source that expects another format than problem+json? Pure."""
