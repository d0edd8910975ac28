"""Load during faults: a source that sends webhooks, and staff who replay events."""
