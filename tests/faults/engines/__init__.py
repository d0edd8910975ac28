"""Fault tests of Celery as the engine of background work."""
