"""Signed records: segments, keys, checkpoints and manifests as canonical JSON objects. Pure.

A record is a mapping with the signed fields of its kind, `signature`, and for some kinds fields that are not signed.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.format.canonical_json import JSONValue, canonical_json
from audit.format.hashes import sha256_digest

Record = Mapping[str, Any]
SignMessage = Callable[[bytes], bytes]

SIGNED_FIELDS: Mapping[str, tuple[str, ...]] = {
    "segment": ("v", "number", "prev", "count", "ids", "root", "sealed_at", "key", "late"),
    "key": ("v", "number", "key", "public", "prev", "from"),
    "checkpoint": ("v", "count", "root", "head", "at", "key"),
    "manifest": (
        *("v", "kind", "filter", "by", "at", "snapshot", "entries", "segments", "streams"),
        *("first", "last", "frontier", "files", "key"),
    ),
}

# Fields that only some records of a kind have. They are signed too, so their removal is found.
OPTIONAL_FIELDS: Mapping[str, tuple[str, ...]] = {"manifest": ("pruned",)}

_DOMAIN = b"hub-signature-1"
# Stricter than `bytes.fromhex`, which also takes capital letters and blanks: a signature has one spelling.
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


def signed_text(kind: str, record: Record) -> str:
    """Return the canonical text of the signed fields. Raises KeyError if one is missing."""
    more = (name for name in OPTIONAL_FIELDS.get(kind, ()) if name in record)
    return canonical_json({name: record[name] for name in (*SIGNED_FIELDS[kind], *more)})


def sign_record(kind: str, record: Record, sign_message: SignMessage) -> dict[str, Any]:
    """Return the record with its signature."""
    return {**record, "signature": sign_message(signature_message(kind, signed_text(kind, record))).hex()}


def signature_message(kind: str, text: str) -> bytes:
    """Return the bytes that are signed. They contain the kind, so that no record passes for one of another kind."""
    return b"\x00".join((_DOMAIN, kind.encode("ascii"), text.encode("ascii")))


def has_valid_signature(kind: str, record: Record, public: bytes) -> bool:
    """True if the holder of this key signed the record."""
    try:
        signature = parse_hex(record["signature"], 64)
        Ed25519PublicKey.from_public_bytes(public).verify(
            signature, signature_message(kind, signed_text(kind, record))
        )
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return False
    return True


def new_private_key() -> bytes:
    """Return the 32 bytes of a new Ed25519 key."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_key(private: bytes) -> bytes:
    """Return the public half of a private key."""
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def load_signer(private: bytes) -> SignMessage:
    """Return the function that signs bytes with a private key."""
    return Ed25519PrivateKey.from_private_bytes(private).sign


def key_id(public: bytes) -> str:
    """Return the id of a key: the beginning of a hash of its public half."""
    return sha256_digest(public).hex()[:32]


def parse_hex(text: JSONValue, size: int | None = 32) -> bytes:
    """Return the bytes of lower-case hexadecimal text. Raises ValueError for other text or another size."""
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        raise ValueError("not lower-case hexadecimal")
    value = bytes.fromhex(text)
    if size is not None and len(value) != size:
        raise ValueError(f"not {size} bytes")
    return value


def format_time(at: datetime) -> str:
    """Return a time as text for records and bodies. The texts sort as the times do."""
    # Always six decimals: `isoformat` alone omits them if they are zero, and such a text sorts differently.
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def is_time_text(text: JSONValue) -> bool:
    """True if the value is a time as `format_time` writes it."""
    return isinstance(text, str) and _TIMESTAMP.fullmatch(text) is not None
