"""The hub of a fault test: many processes, a balancer before them, a storage that fails."""
