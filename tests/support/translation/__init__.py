"""What a test needs to see which texts are translated."""
