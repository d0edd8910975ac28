"""The yardstick: a small Django project that does what the hub's webhook does and keeps nearly nothing of it."""
