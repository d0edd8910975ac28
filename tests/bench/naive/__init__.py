"""The yardsticks: a small Django project whose views do what the hub does for a webhook and keep nearly nothing of it."""
