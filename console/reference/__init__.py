"""What does each setting mean, and which values does it accept? Generated from the code that reads it; and the help."""
