"""The subjects of the measurements."""
