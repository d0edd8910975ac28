"""Ids of events whose sender gives them none, by which an event that is sent again is recognized. Pure."""

import hashlib
from datetime import datetime

# Of the 255 characters of an event id, some are for its position.
_MAX_REQUEST_ID_LENGTH = 240


def event_id_by_position(request_id: str, position: int) -> str:
    """Return the id of an event that has none itself, made of the id of its request and its position in it."""
    fits = len(request_id) <= _MAX_REQUEST_ID_LENGTH
    return f"{request_id if fits else hashlib.sha256(request_id.encode()).hexdigest()}/{position}"


def event_id_of_bytes(body: bytes, signed_at: datetime | None, position: int) -> str:
    """Return the id of an event that has none, made of what its request signs: the body, and the time if there is one.

    A request that somebody captured and sends again has the same one.
    """
    time = b"" if signed_at is None else signed_at.isoformat().encode()
    return f"sha256:{hashlib.sha256(time + bytes(1) + body).hexdigest()}/{position}"
