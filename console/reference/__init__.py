"""What does each setting mean, and which values does it accept? Made from the code that reads it."""
