"""Signing keys of the log. Each key is signed by its predecessor, whose private half is then destroyed."""

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
from audit.sealing.trusted_keys import newest_key, next_number

SIGNING_KEY_STREAM = "setting:signing-key"


@dataclass(frozen=True, slots=True)
class SecretCipher:
    """Encrypts and decrypts with the hub's keys at rest. Passed in, because `audit` does not know those keys."""

    encrypt: Callable[[bytes], bytes]
    decrypt: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class CurrentKey:
    """The key that is valid now, ready to sign, and the time from which it is valid."""

    key: str
    valid_from: datetime
    sign_message: SignMessage

    def sign_record(self, kind: str, record: Record) -> Record:
        """Return the record with the id of the key and its signature."""
        return sign_record(kind, {**record, "key": self.key}, self.sign_message)


def load_current_key(cipher: SecretCipher, at: datetime) -> CurrentKey:
    """Return the key that is valid now; create the first one if there is none. Call it in the transaction that signs.

    Callers hold the sealing lock (`audit.sealing.seal_lock`), so that no key begins meanwhile.
    """
    row = newest_key() or create_next_key(cipher, at)
    if row.private is None:
        raise LookupError("the newest signing key has no private half")
    return CurrentKey(row.key, row.valid_from, load_signer(cipher.decrypt(bytes(row.private))))


def is_due_for_rotation(at: datetime, days: float) -> bool:
    """True if the newest key has been valid for `days` days. Never if `days` is 0."""
    row = newest_key()
    return row is not None and days > 0 and at - row.valid_from >= timedelta(days=days)


def create_next_key(cipher: SecretCipher, at: datetime) -> SigningKey:
    """Create a key that is valid from `at`, or from a microsecond after the newest time that its predecessor may have
    signed.

    The predecessor signs it, an audit entry records it, and the predecessor's private half is destroyed.
    """
    before = newest_key()
    private = new_private_key()
    public = public_key(private)
    begins = at if before is None else max(at, before.valid_from + timedelta(microseconds=1))
    record: Record = {
        "v": 1,
        "number": next_number(before),
        "key": key_id(public),
        "public": public.hex(),
        "prev": "" if before is None else before.key,
        "from": format_time(begins),
    }
    # The first key signs itself.
    by = private if before is None else cipher.decrypt(bytes(before.private or b""))
    signed = sign_record("key", record, load_signer(by))
    # Destroyed in the transaction that creates the successor: no time has two keys that can sign.
    if before is not None:
        SigningKey.objects.filter(pk=before.pk).update(private=None, valid_until=begins)
    row = SigningKey.objects.create(
        number=record["number"],
        key=record["key"],
        public=public,
        private=cipher.encrypt(private),
        valid_from=begins,
        signature=bytes.fromhex(str(signed["signature"])),
    )
    append_entries(NewEntry(SIGNING_KEY_STREAM, "signing-key.begun", details=signed), at=at)
    return row
