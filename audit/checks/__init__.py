"""What is wrong with rows of the log? Pure; rows in, findings out."""
