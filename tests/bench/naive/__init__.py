"""A small Django project for comparison: its views deliver a webhook like the hub and store nearly nothing of it."""
