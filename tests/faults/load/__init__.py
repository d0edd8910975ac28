"""Who uses the hub while it is broken: a source, staff, a storm of both."""
