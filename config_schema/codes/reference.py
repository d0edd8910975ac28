"""Identifiers of rows: UUIDv7 in the database, a reference of 26 characters for people.

People read references out over the telephone and copy them from screenshots, hence Crockford's base 32, which has no
case and no I, L, O or U (https://www.crockford.com/base32.html). References sort as their UUIDs do.
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
# Characters of an end: they are 30 bits, and seven hexadecimal digits 28.
_LEAST_END = 6
_FROM_BASE32 = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _ALPHABET.encode())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RANDOM_BITS = 74
_STEP_BITS = 32


class _RandomTails:
    """Random lower bits of a UUIDv7, increasing within one millisecond (RFC 9562, section 6.2, method 2)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = -1
        self._tail = 0

    def next_tail(self, millisecond: int) -> int:
        with self._lock:
            if millisecond == self._millisecond:
                self._tail += 1 + secrets.randbits(_STEP_BITS)
            else:
                # The highest bit starts at zero: room for more steps than a millisecond can hold.
                self._millisecond, self._tail = millisecond, secrets.randbits(_RANDOM_BITS - 1)
            return self._tail


_ticks = _RandomTails()


def _reset_after_fork() -> None:
    """Start again in a forked child. It would repeat its parent's values, or find the lock held by a thread that it
    does not have.
    """
    global _ticks  # noqa: PLW0603 - one per process is the point
    _ticks = _RandomTails()


os.register_at_fork(after_in_child=_reset_after_fork)


def new_uuid(now: datetime | None = None) -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562, section 5.7) for `now`, an aware time.

    Later calls of this process in the same millisecond return larger values, in any thread. Otherwise the order follows
    the clock, so nothing may rely on it.
    """
    millisecond = ((now or datetime.now(UTC)) - _EPOCH) // timedelta(milliseconds=1)
    tail = _ticks.next_tail(millisecond)
    high, low = tail >> 62, tail & (1 << 62) - 1
    return uuid.UUID(int=millisecond << 80 | 7 << 76 | high << 64 | 2 << 62 | low)


@lru_cache(maxsize=1024)
def to_reference(value: uuid.UUID) -> str:
    """Return the reference of a UUID: 26 characters."""
    return base64.b32encode(value.int.to_bytes(20, "big"))[-_LENGTH:].translate(_FROM_BASE32).decode()


def uuid_end(text: str) -> str | None:
    """Return the last seven hexadecimal digits of the UUIDs whose reference ends with a text of at least six
    characters, with or without the mark of what is left out; None for any other text.
    """
    end = text.strip().lstrip("…. ").upper()
    if not _LEAST_END <= len(end) < _LENGTH or any(character not in _VALUES for character in end):
        return None
    number = 0
    for character in end:
        number = number << 5 | _VALUES[character]
    return f"{number:07x}"[-7:]


def has_end(value: uuid.UUID, text: str) -> bool:
    """Return True if the reference of a UUID ends with a text that `uuid_end` reads."""
    end = "".join(_ALPHABET[_VALUES[character]] for character in text.strip().lstrip("…. ").upper())
    return to_reference(value).endswith(end)


def from_reference(text: str) -> uuid.UUID:
    """Return the UUID of a reference, in either case, reading I and L as 1 and O as 0. Raises ValueError for any
    other text, without repeating it.
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
