"""The hub of a fault test: many processes, a load balancer in front of them, a failing storage."""
