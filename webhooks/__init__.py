"""Receive: verify, parse, store and answer. Never calls out."""
