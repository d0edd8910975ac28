"""The keys that sign: the first begins by itself, each other is signed by the one before, whose secret is destroyed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from audit.entries.append import Happening, append
from audit.format.signed_records import (
    Record,
    Sign,
    key_id,
    new_private_key,
    public_key,
    sign,
    signer,
    time_text,
)
from audit.models import SigningKey

STREAM = "setting:signing-key"


@dataclass(frozen=True, slots=True)
class Box:
    """How secrets are sealed at rest, as the hub does it: `audit` knows of no key but its own."""

    seal: Callable[[bytes], bytes]
    unseal: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Signing:
    """The key that is valid now, ready to sign. `begun_at`: from when it is valid."""

    key: str
    begun_at: datetime
    sign: Sign

    def record(self, kind: str, record: Record) -> Record:
        """The record with the id of the key and its signature."""
        return sign(kind, {**record, "key": self.key}, self.sign)


def current_signing(box: Box, at: datetime) -> Signing:
    """The key that is valid now; the first one begins at `at`. In the transaction that signs with it.

    Whoever seals and whoever begins a key must not do so at once: see `audit.sealing.seal_lock`.
    """
    row = _newest() or begin_key(box, at)
    if row.private is None:
        raise LookupError("the newest signing key has no private half")
    return Signing(row.key, row.valid_from, signer(box.unseal(bytes(row.private))))


def is_worn(at: datetime, days: float) -> bool:
    """Whether the newest key has been valid for so long; never where `days` is 0."""
    row = _newest()
    return row is not None and days > 0 and at - row.valid_from >= timedelta(days=days)


def begin_key(box: Box, at: datetime) -> SigningKey:
    """A new key from `at` on, or from a microsecond after the newest time that the one before may have signed.

    Signed by the one before, on record, and the one before can sign no more.
    """
    before = _newest()
    private = new_private_key()
    public = public_key(private)
    begins = at if before is None else max(at, before.valid_from + timedelta(microseconds=1))
    record: Record = {
        "v": 1,
        "number": 1 if before is None else before.number + 1,
        "key": key_id(public),
        "public": public.hex(),
        "prev": "" if before is None else before.key,
        "from": time_text(begins),
    }
    by = private if before is None else box.unseal(bytes(before.private or b""))
    signed = sign("key", record, signer(by))
    if before is not None:
        SigningKey.objects.filter(pk=before.pk).update(private=None, valid_until=begins)
    row = SigningKey.objects.create(
        number=record["number"],
        key=record["key"],
        public=public,
        private=box.seal(private),
        valid_from=begins,
        signature=bytes.fromhex(str(signed["signature"])),
    )
    append(Happening(STREAM, "signing-key.begun", details=signed), at=at)
    return row


def _newest() -> SigningKey | None:
    return SigningKey.objects.order_by("-number").first()
