"""How is a setting described once, for its reader, its reference page and its JSON Schema? Pure."""
