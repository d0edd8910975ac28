"""The audit log's tables."""

from audit.models.entry import Entry
from audit.models.outlet import Anchoring, Outlet, Verification
from audit.models.retention import Cut, Stub
from audit.models.segment import Checkpoint, Segment, SigningKey

__all__ = [
    "Anchoring",
    "Checkpoint",
    "Cut",
    "Entry",
    "Outlet",
    "Segment",
    "SigningKey",
    "Stub",
    "Verification",
]
