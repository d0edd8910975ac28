"""Which tables hold the log?"""

from audit.models.entry import Entry
from audit.models.publication import CheckpointChannel, PublishedCheckpoint, Verification
from audit.models.retention import Cut, Stub
from audit.models.segment import Checkpoint, Segment, SigningKey

__all__ = [
    "Checkpoint",
    "CheckpointChannel",
    "Cut",
    "Entry",
    "PublishedCheckpoint",
    "Segment",
    "SigningKey",
    "Stub",
    "Verification",
]
