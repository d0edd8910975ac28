"""Types of the checks: faults, and the rows to be checked. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from audit.format.signed_records import Record


@dataclass(frozen=True, slots=True)
class IntegrityFault:
    """A difference between the log and what was written to it, with its location."""

    location: str
    problem: str

    def __str__(self) -> str:
        return f"{self.location}: {self.problem}"


Faults = Iterator[IntegrityFault]


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An entry as it is stored. `body` is None if the columns have none."""

    id: int
    stream: str
    stream_seq: int
    details: str
    body: str | None
    leaf: bytes

    @property
    def location(self) -> str:
        return f"entry {self.id} ({self.stream} {self.stream_seq})"


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment as it is stored: the record that is signed, and what follows from it."""

    record: Record
    packed: bytes
    leaves: bytes
    hash: bytes
    nodes: bytes
    highest_id: int

    @property
    def location(self) -> str:
        return f"segment {self.record['number']}"


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it is stored."""

    record: Record
    valid_until: str | None
    has_private_half: bool


@dataclass(frozen=True, slots=True)
class StreamRow:
    """An entry's position in its stream.

    `stub_seq` and `stub_leaf` are place and hash of the stream's last pruned entry; None and empty if none was pruned.
    """

    stream: str
    seq: int
    prev_leaf: bytes
    leaf: bytes
    stub_seq: int | None = None
    stub_leaf: bytes = b""
