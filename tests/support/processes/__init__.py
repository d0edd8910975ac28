"""The hub, its workers and their queues as processes of their own."""
