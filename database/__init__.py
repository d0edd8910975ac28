"""How does the hub use its database? Nothing here knows our models."""
