"""The sum over the stubs of pruned streams, with which the log commits to what remains of deleted entries. Pure.

Each stub becomes a number of 2,048 bits, and the sum is taken modulo 2^2048. So the sum changes with each stub that is
added, replaced or deleted, in any order, without reading the others. With so many bits it is infeasible to find other
stubs with the same sum (generalized birthday attack: 2^90 steps).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import shake_256

from audit.format.canonical_json import JSONValue

_BYTES = 256
_MODULUS = 1 << (8 * _BYTES)
# Stream, sequence number and leaf of the last deleted entry, and the segment that has the leaf.
StubColumns = tuple[object, object, bytes, object]


@dataclass(frozen=True, slots=True)
class StubSum:
    """The number of stubs and the sum over them."""

    count: int = 0
    total: int = 0

    def with_stubs(self, added: Iterable[StubColumns], removed: Iterable[StubColumns] = ()) -> "StubSum":
        """Return the sum with some stubs added and others removed."""
        count, total = self.count, self.total
        for stub in added:
            count, total = count + 1, total + _stub_number(stub)
        for stub in removed:
            count, total = count - 1, total - _stub_number(stub)
        return StubSum(count, total % _MODULUS)

    def to_details(self) -> dict[str, JSONValue]:
        """Return the fields that an entry has of this sum."""
        return {"streams": self.count, "sum": f"{self.total:0{2 * _BYTES}x}"}

    @classmethod
    def from_details(cls, details: dict[str, object]) -> "StubSum":
        """Return the sum that an entry has. Raises KeyError, TypeError or ValueError if it has none."""
        count, digits = details["streams"], details["sum"]
        if type(count) is not int or not isinstance(digits, str) or len(digits) != 2 * _BYTES:
            raise ValueError("not the sum of stubs")
        return cls(count, int(digits, 16))


def _stub_number(stub: StubColumns) -> int:
    stream, seq, leaf, segment = stub
    # The leaf, of fixed length, comes last, and a stream has no null character.
    text = f"hub-stub-1\0{segment}\0{seq}\0{stream}\0".encode("utf-8", "surrogatepass")
    return int.from_bytes(shake_256(text + leaf).digest(_BYTES), "big")
