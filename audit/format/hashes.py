"""The hashes of the audit log, each with a prefix of its own so that none can be taken for another. Pure.

`docs/audit.md` has the formats in full.
"""

from hashlib import sha256

HASH_SIZE = 32
ZERO_HASH = bytes(HASH_SIZE)

_LEAF = b"\x00hub-audit-1"
_SEGMENT = b"\x00hub-segment-1"


def leaf_hash(body: str) -> bytes:
    """The hash of an entry, by its stored body."""
    return sha256(_LEAF + body.encode("ascii")).digest()


def segment_hash(statement: str) -> bytes:
    """The hash of a segment, by the canonical text of its signed members."""
    return sha256(_SEGMENT + statement.encode("ascii")).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash over two hashes of a Merkle tree."""
    return sha256(b"\x01" + left + right).digest()


def sha256_digest(content: bytes) -> bytes:
    """Plain SHA-256."""
    return sha256(content).digest()
