"""Which tables hold the log?"""

from audit.models.entry import Entry
from audit.models.publication import Anchoring, Outlet, Verification
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
