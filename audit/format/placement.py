"""Position of an entry in the signed log, as an export states it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlacedEntry:
    """An entry of a filtered export: its body, the number of its segment, and its index there."""

    body: str
    segment: int
    index: int


@dataclass(frozen=True, slots=True)
class PrunedHead:
    """The last pruned entry of a stream: its position in the stream, the number of its segment, and its index there."""

    seq: int
    segment: int
    index: int
