"""Find secrets that can be guessed. Pure."""

import enum
import re
from itertools import pairwise

_EXAMPLE = re.compile(
    r"change.?me|replace.?me|django-insecure|place.?holder|your.?(secret|token|key|password)|example|password|dummy",
    re.IGNORECASE,
)
# What people make secrets of. Nothing of it counts, but a secret may contain it.
_COMMON_WORDS = re.compile(
    r"passw[o0]rd|passphrase|secret|admin|webhook|integration|identity|welcome|letmein|default|production|staging"
    r"|company|service|token|super|hello|world|signing|shared|summer|winter|spring|autumn|hub|test|demo|user|api|key"
    r"|qwert[yz]?u?i?o?p?|azerty|asdfg?h?j?k?l?|[zy]xcvb?n?m?|1q2w3e(?:4r)?(?:5t)?|(?:19|20)[0-9]{2}|[\W_]+",
    re.IGNORECASE,
)
_MIN_DISTINCT = 8  # of 16 random bytes fewer than this are distinct once in 10^14 times
# Steps to another character than the same one or its neighbour: 22 random digits have 15 of them, of base64 20.
_MIN_STEPS = 9


class Weakness(enum.Enum):
    """Why a secret can be guessed."""

    REPEATED = enum.auto()
    EXAMPLE = enum.auto()


def find_weakness(text: str, content: bytes) -> Weakness | None:
    """Return why a secret cannot be random; None if it may be. `content`: what `text` stands for, if decoded."""
    if len(set(content)) < _MIN_DISTINCT or _is_repeated_piece(content, len(content) // 3):
        return Weakness.REPEATED
    if _EXAMPLE.search(text) or _EXAMPLE.search(content.decode("latin-1")):
        return Weakness.EXAMPLE
    return None


def can_be_guessed(text: str, content: bytes) -> bool:
    """Return True if a secret that a person typed is weak, or consists of common words, years and sequences.

    Of 10,000 random secrets of 22 hexadecimal digits one is taken for a weak one, of longer ones none.
    """
    decoded = content.decode("latin-1")
    left = _COMMON_WORDS.sub("", decoded) if decoded.isascii() else decoded
    steps = sum(abs(ord(one) - ord(other)) > 1 for one, other in pairwise(left))
    return (
        steps < _MIN_STEPS
        or _is_repeated_piece(content, len(content) // 2)
        or find_weakness(text, content) is not None
    )


def _is_repeated_piece(content: bytes, longest: int) -> bool:
    """True if a piece of at most so many bytes, over and over, is all of the content (the last one may be cut)."""
    # A text is its own continuation, shifted by its period.
    return any(content[:-period] == content[period:] for period in range(1, longest + 1))
