"""Which screens there are, and the busy hub that they show."""
