"""The audit log's tables."""

from audit.models.entry import Entry, Head

__all__ = ["Entry", "Head"]
