"""What must change, and when is it tried again? Pure."""
