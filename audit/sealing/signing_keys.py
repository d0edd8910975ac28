"""The keys that sign: the first begins by itself, each other is signed by the one before, whose secret is destroyed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from audit.entries.append import NewEntry, append_entries
from audit.format.signed_records import (
    Record,
    SignMessage,
    format_time,
    key_id,
    load_signer,
    new_private_key,
    public_key,
    sign_record,
)
from audit.models import SigningKey

SIGNING_KEY_STREAM = "setting:signing-key"


@dataclass(frozen=True, slots=True)
class SecretBox:
    """How secrets are sealed at rest, as the hub does it: `audit` knows of no key but its own."""

    encrypt: Callable[[bytes], bytes]
    decrypt: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class CurrentKey:
    """The key that is valid now, ready to sign. `valid_from`: from when it is valid."""

    key: str
    valid_from: datetime
    sign_message: SignMessage

    def sign_record(self, kind: str, record: Record) -> Record:
        """The record with the id of the key and its signature."""
        return sign_record(kind, {**record, "key": self.key}, self.sign_message)


def load_current_key(box: SecretBox, at: datetime) -> CurrentKey:
    """The key that is valid now; the first one begins at `at`. In the transaction that signs with it.

    Whoever seals and whoever begins a key must not do so at once: see `audit.sealing.seal_lock`.
    """
    row = _newest_key() or create_next_key(box, at)
    if row.private is None:
        raise LookupError("the newest signing key has no private half")
    return CurrentKey(row.key, row.valid_from, load_signer(box.decrypt(bytes(row.private))))


def is_due_for_rotation(at: datetime, days: float) -> bool:
    """Whether the newest key has been valid for so long; never where `days` is 0."""
    row = _newest_key()
    return row is not None and days > 0 and at - row.valid_from >= timedelta(days=days)


def create_next_key(box: SecretBox, at: datetime) -> SigningKey:
    """A new key from `at` on, or from a microsecond after the newest time that the one before may have signed.

    Signed by the one before, on record, and the one before can sign no more.
    """
    before = _newest_key()
    private = new_private_key()
    public = public_key(private)
    begins = at if before is None else max(at, before.valid_from + timedelta(microseconds=1))
    record: Record = {
        "v": 1,
        "number": 1 if before is None else before.number + 1,
        "key": key_id(public),
        "public": public.hex(),
        "prev": "" if before is None else before.key,
        "from": format_time(begins),
    }
    by = private if before is None else box.decrypt(bytes(before.private or b""))
    signed = sign_record("key", record, load_signer(by))
    if before is not None:
        SigningKey.objects.filter(pk=before.pk).update(private=None, valid_until=begins)
    row = SigningKey.objects.create(
        number=record["number"],
        key=record["key"],
        public=public,
        private=box.encrypt(private),
        valid_from=begins,
        signature=bytes.fromhex(str(signed["signature"])),
    )
    append_entries(NewEntry(SIGNING_KEY_STREAM, "signing-key.begun", details=signed), at=at)
    return row


def _newest_key() -> SigningKey | None:
    return SigningKey.objects.order_by("-number").first()
