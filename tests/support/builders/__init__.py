"""Functions that create the rows that tests start from; a test overrides the values it is about."""
