"""Names for rows: UUIDv7 inside and in the database, 26 characters outside.

A reference is read out over the telephone and typed from a picture, hence Crockford's base 32: no case, no
I, L, O or U (https://www.crockford.com/base32.html). Its order as text is the order of the UUID.
"""

import base64
import os
import secrets
import threading
import uuid
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {**{character: value for value, character in enumerate(_ALPHABET)}, "I": 1, "L": 1, "O": 0}
_LENGTH = 26
_FROM_BASE32 = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _ALPHABET.encode())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RANDOM_BITS = 74
_STEP_BITS = 32


class _Ticks:
    """Random tails, growing within one millisecond (RFC 9562, section 6.2, method 2)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = -1
        self._tail = 0

    def tail(self, millisecond: int) -> int:
        with self._lock:
            if millisecond == self._millisecond:
                self._tail += 1 + secrets.randbits(_STEP_BITS)
            else:
                # The highest bit starts at zero: room for more steps than a millisecond can hold.
                self._millisecond, self._tail = millisecond, secrets.randbits(_RANDOM_BITS - 1)
            return self._tail


_ticks = _Ticks()


def _start_afresh() -> None:
    """A forked child would repeat its parent's tails, or find the lock taken by a thread that it lacks."""
    global _ticks  # noqa: PLW0603 - one per process is the point
    _ticks = _Ticks()


os.register_at_fork(after_in_child=_start_afresh)


def new_uuid(now: datetime | None = None) -> uuid.UUID:
    """A UUIDv7 (RFC 9562, section 5.7) of `now`, an aware time. Later calls in the same millisecond of this
    process give larger values, from any thread. Between milliseconds the clock decides; nothing may rely on
    it for order.
    """
    millisecond = ((now or datetime.now(UTC)) - _EPOCH) // timedelta(milliseconds=1)
    tail = _ticks.tail(millisecond)
    high, low = tail >> 62, tail & (1 << 62) - 1
    return uuid.UUID(int=millisecond << 80 | 7 << 76 | high << 64 | 2 << 62 | low)


@lru_cache(maxsize=1024)
def to_reference(value: uuid.UUID) -> str:
    """The 26 characters that people and machines quote."""
    return base64.b32encode(value.int.to_bytes(20, "big"))[-_LENGTH:].translate(_FROM_BASE32).decode()


def from_reference(text: str) -> uuid.UUID:
    """The UUID of a reference, in any case, with I and L read as 1 and O as 0. Raises `ValueError` for
    anything else, without repeating it.
    """
    if len(text) != _LENGTH or not text.isascii():
        raise ValueError("a reference has 26 ASCII characters")
    number = 0
    for character in text.upper():
        if character not in _VALUES:
            raise ValueError("a reference has only digits and letters, without U")
        number = number << 5 | _VALUES[character]
    if number >> 128:
        raise ValueError("a reference begins with a digit from 0 to 7")
    return uuid.UUID(int=number)
