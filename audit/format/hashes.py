"""Hash functions of the audit log, each with its own prefix so that no hash passes for another kind. Pure.

`docs/audit-format.md` has the formats in full.
"""

from hashlib import sha256
from typing import TypeGuard

HASH_SIZE = 32
ZERO_HASH = bytes(HASH_SIZE)

# Leaves begin with 0x00 and nodes of a tree with 0x01, so that no node passes for an entry (RFC 9162, section 2.1.1).
_LEAF = b"\x00hub-audit-1"
_SEGMENT = b"\x00hub-segment-1"


def leaf_hash(body: str) -> bytes:
    """Return the hash of an entry by its body."""
    return sha256(_LEAF + body.encode("ascii")).digest()


def segment_hash(statement: str) -> bytes:
    """Return the hash of a segment by the canonical text of its signed fields."""
    return sha256(_SEGMENT + statement.encode("ascii")).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash over two hashes of a Merkle tree."""
    return sha256(b"\x01" + left + right).digest()


def is_hash(value: object) -> TypeGuard[bytes | memoryview]:
    """Return True for 32 bytes. A column of hashes can contain anything else once someone changed it."""
    return isinstance(value, bytes | memoryview) and len(value) == HASH_SIZE


def sha256_digest(content: bytes) -> bytes:
    return sha256(content).digest()


def stored_hash(value: object) -> bytes:
    """Return a hash from a column of the log. Text and numbers, which SQLite can store there, count as no bytes."""
    return bytes(value) if isinstance(value, bytes | memoryview) else b""
