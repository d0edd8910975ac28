"""Django's folder of commands."""
