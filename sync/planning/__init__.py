"""What must change, and when is it retried? Pure."""
