"""The position of a page in a list, as a small JSON object with which another process can go on later. Pure.

A position has what shows that a list repeats itself: a digest of the page before it, and one of an earlier page, which
is replaced whenever the number of pages is a power of two. So a cycle of any length is found within a few times its
length, and the position stays small.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

# Of a cursor or an address.
MAX_CURSOR_LENGTH = 4096
# A relative address is stored with the path of its list.
_MAX_STORED_LENGTH = 2 * MAX_CURSOR_LENGTH
_MAX_NUMBER = 10**12


class PositionUnreadable(ValueError):
    """A stored position that does not fit the list."""


@dataclass(frozen=True, slots=True)
class ListPosition:
    """The position of a page.

    `at` is the start or the number of the page, its cursor, or its address: a path below the base URL, with its query.
    It may contain personal data. `received` is the number of items on the `pages` before it, `left_out` of them being
    null. `last` is the digest of the items of the page before, and `mark` that of an earlier page. `list_digest` is
    that of the list: of its settings and the base URL.
    """

    list_digest: str
    at: int | str
    received: int
    left_out: int
    pages: int
    last: str
    mark: str

    def to_json(self) -> dict[str, Any]:
        """Return the position as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Any, list_digest: str, *, is_number: bool) -> Self:
        """Read a stored position of the list with this digest. Raises PositionUnreadable if it is of another list, or
        is no position.
        """
        try:
            position = cls(**document)
        except TypeError:
            raise PositionUnreadable from None
        numbers = (
            position.received,
            position.left_out,
            position.pages,
            *((position.at,) if is_number else ()),
        )
        texts = (position.last, position.mark, *(() if is_number else (position.at,)))
        is_whole = (
            position.list_digest == list_digest
            and all(type(one) is int and 0 <= one <= _MAX_NUMBER for one in numbers)
            and all(isinstance(one, str) and len(one) <= _MAX_STORED_LENGTH for one in texts)
        )
        if not is_whole:
            raise PositionUnreadable
        return position


def digest_settings(document: Mapping[str, Any]) -> str:
    """Return the digest of the settings of a list."""
    return _digest(json.dumps(document, sort_keys=True, default=str))


def digest_ids(ids: Iterable[str]) -> str:
    """Return the digest of the ids of the items of a page, in any order."""
    return _digest(json.dumps(sorted(ids)))


def digest_place(at: str) -> str:
    """Return the digest of a cursor or an address."""
    return _digest(at)


def is_storable(text: str) -> bool:
    """Return True if a database can store a text: without U+0000 and lone surrogates."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def is_mark(pages: int) -> bool:
    """Return True if the page after so many pages becomes the mark."""
    return pages & (pages - 1) == 0


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
