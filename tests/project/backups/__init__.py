"""Backups, and what a restore makes of them."""
