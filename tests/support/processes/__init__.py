"""The hub and its workers as separate processes."""
