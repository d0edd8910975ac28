"""Where an entry stands in the signed log, as an export tells it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlacedEntry:
    """An entry of a filtered export: its body, the number of its segment, and its index there."""

    body: str
    segment: int
    index: int


@dataclass(frozen=True, slots=True)
class PrunedHead:
    """The last entry of a stream that is kept no longer: its place in the stream, the number of its segment, and its
    index there."""

    seq: int
    segment: int
    index: int
