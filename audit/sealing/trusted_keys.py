"""Tells the log's signing keys from rows that someone else has inserted: each key is signed by the one before it."""

from collections.abc import Iterator

from audit.format.signed_records import has_valid_signature
from audit.models import SigningKey
from audit.sealing.record_rows import key_record

_MAX_CACHED = 4_096
# Public halves by key id; None for a key that is not in the chain. The hub chooses its keys at random, so a row that is
# not in the chain never comes into it.
_known: dict[str, bytes | None] = {}


def public_half(key: str) -> bytes | None:
    """Return the public half of a key of the log, by its id; None if the chain of keys does not contain it."""
    if key not in _known:
        chain = {row.key: bytes(row.public) for row in _chain()}
        if len(_known) > _MAX_CACHED:
            _known.clear()
        # None only after the chain was read: another thread takes it for an answer.
        _known.update({key: None, **chain})
        return chain.get(key)
    return _known.get(key)


def newest_key() -> SigningKey | None:
    """Return the newest key of the chain. None before the first."""
    rows = SigningKey.objects.order_by("-number").iterator(100)
    return next((row for row in rows if public_half(row.key) == bytes(row.public)), None)


def next_number(before: SigningKey | None) -> int:
    """Return the number of the next key: the first free one, since a row in the way cannot be deleted."""
    number = 1 if before is None else before.number + 1
    while SigningKey.objects.filter(number=number).exists():
        number += 1
    return number


def _chain() -> Iterator[SigningKey]:
    """Yield the keys from the first one, which signs itself."""
    before: SigningKey | None = None
    for row in SigningKey.objects.order_by("number").iterator(100):
        signer, previous = (row, "") if before is None else (before, before.key)
        is_first = row.number == 1
        if is_first == (before is None) and has_valid_signature(
            "key", key_record(row, previous), bytes(signer.public)
        ):
            before = row
            yield row
