"""How does the hub talk to its database? Nothing here knows a model of ours."""
