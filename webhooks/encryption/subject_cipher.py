"""Values sealed under the key of one subject, so that destroying that key makes all of them unreadable at once.

AES-256-GCM. Whoever holds a subject's key for a while draws a salt, makes a key of its own of the two (HMAC-SHA256, the
expanding half of HKDF) and counts its nonces: no nonce comes twice under one key, in however many processes.

A sealed value: 1 byte version, 16 bytes salt, 12 bytes nonce, the cipher text with its 16-byte tag. The version says
whether the value was compressed before (`compression`), which is done where it makes it smaller. Its length then tells
a little of what it says to whoever can read the database, who sees the length of the plain value anyway.
"""

import hmac
import itertools
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from webhooks.encryption.at_rest import CannotOpen
from webhooks.encryption.compression import compress, decompress

VERSION = b"\x03"
COMPRESSED = b"\x04"
KEY_BYTES = 32
_HEAD = 17
_NONCE = slice(17, 29)
_SMALLEST = 45


class SubjectSealer:
    """Seals under a subject's key for as long as it is kept, in one process: it must not be carried over a fork."""

    def __init__(self, key: bytes) -> None:
        salt = os.urandom(16)
        self._heads = VERSION + salt, COMPRESSED + salt
        self._cipher = _cipher(key, salt)
        self._numbers = itertools.count()

    def seal(self, plain: bytes) -> bytes:
        """Return sealed bytes, at most 45 longer than `plain`."""
        packed = compress(plain)
        head = self._heads[packed is not None]
        nonce = next(self._numbers).to_bytes(12, "big")
        return head + nonce + self._cipher.encrypt(nonce, plain if packed is None else packed, head)


def unseal(key: bytes, sealed: bytes) -> bytes:
    """What was sealed. `CannotOpen` for another key, or when a bit was changed."""
    head = sealed[:_HEAD]
    if not head.startswith((VERSION, COMPRESSED)) or len(sealed) < _SMALLEST:
        raise CannotOpen("this is not encrypted with the key of a subject")
    try:
        opened = _opening(key, head[1:]).decrypt(sealed[_NONCE], sealed[_NONCE.stop :], head)
        return decompress(opened) if head.startswith(COMPRESSED) else opened
    except (InvalidTag, ValueError) as error:
        raise CannotOpen("the key of this subject cannot decrypt this value") from error


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(hmac.digest(key, b"hub-subject-3" + salt + b"\x01", "sha256"))


# A page opens some payloads of one salt, one after the other; more are not kept, so that no key outlives its row long.
_opening = lru_cache(maxsize=1)(_cipher)
