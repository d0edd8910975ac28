"""The hub and its workers as processes of their own."""
