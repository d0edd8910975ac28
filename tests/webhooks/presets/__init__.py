"""Presets of sources: their files, and their recorded requests over HTTP."""
