"""What does each scheme of authentication send, and which credentials does it need? Pure."""
