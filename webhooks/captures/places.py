"""Choose which requests a full capture window keeps, so that no sender can fill it alone. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

MAX_CAPTURED = 50
RESERVED = 25
"""As many places do verified requests have for themselves, and as many all others."""
# One customer usually gets a network of this size, and may use any address of it.
_IPV6_PREFIX = 64


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """A stored request, or one that wants a place (`pk` 0). `sender`: see `sender_of`."""

    pk: int
    is_verified: bool
    sender: str
    stored_size: int = 0


def sender_of(address: str | None) -> str:
    """Return the part of a client's address that shares places with others: an IPv4 address, or the network of IPv6."""
    parsed = ip_address(address) if address else None
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)


def has_place(kept: Sequence[KeptRequest], new: KeptRequest) -> bool:
    """True if the window has a free place for a request, or one that another request must give up for it."""
    return len(kept) < MAX_CAPTURED or choose_replaced(kept, new) is not None


def choose_replaced(kept: Sequence[KeptRequest], new: KeptRequest) -> int | None:
    """Return the key of the request of a full window that `new` replaces, None if it gets no place.

    1. If less than half of the places are taken by requests like it, verified or not, it replaces one of the others.
    2. Otherwise it replaces one like it, of the sender that has the most, if that has at least two more than its own.

    In both cases the newest of the sender with the most. Both rules end after a bounded number of replacements,
    however many requests come.
    """
    alike = [request for request in kept if request.is_verified == new.is_verified]
    if len(alike) < RESERVED:
        return _newest_of_largest([request for request in kept if request.is_verified != new.is_verified])
    counts = Counter(request.sender for request in alike)
    return _newest_of_largest(alike) if max(counts.values()) > counts[new.sender] + 1 else None


def _newest_of_largest(requests: Sequence[KeptRequest]) -> int:
    (largest, _), *_rest = Counter(request.sender for request in requests).most_common(1)
    return max(request.pk for request in requests if request.sender == largest)
