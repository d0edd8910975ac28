"""How is an answer written for a source that expects a format other than problem+json? Pure."""
