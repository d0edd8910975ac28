"""Encrypt values with the key of one subject, so that destroying that key makes all of them unreadable at once.

AES-256-GCM. Each encryptor draws a salt, derives a key of its own from the subject's key and the salt (HMAC-SHA256, the
expanding half of HKDF) and counts its nonces, so that no nonce is used twice with one key in any number of processes.

Format: 1 byte version, 16 bytes salt, 12 bytes nonce, the ciphertext with its 16-byte tag. The version tells whether
the value is compressed (`compression`), which is done if it makes the value smaller. The length of a compressed value
reveals a little about its content, but only to a reader of the database, who sees the plain length anyway.
"""

import hmac
import itertools
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from database.encryption.at_rest import CannotDecrypt
from database.encryption.compression import compress, decompress

VERSION = b"\x03"
COMPRESSED = b"\x04"
KEY_BYTES = 32
_HEAD = 17
_NONCE = slice(17, 29)
_SMALLEST = 45


class SubjectEncryptor:
    """Encrypts with a subject's key in one process. It must not be used after a fork, which would repeat nonces."""

    def __init__(self, key: bytes) -> None:
        salt = os.urandom(16)
        self._heads = VERSION + salt, COMPRESSED + salt
        self._cipher = _salted_cipher(key, salt)
        self._numbers = itertools.count()

    def encrypt(self, plain: bytes) -> bytes:
        """Encrypt bytes. The result is at most 45 bytes longer than `plain`."""
        packed = compress(plain)
        # The version is authenticated too: a plain value cannot be passed off as a compressed one.
        head = self._heads[packed is not None]
        nonce = next(self._numbers).to_bytes(12, "big")
        return head + nonce + self._cipher.encrypt(nonce, plain if packed is None else packed, head)


def decrypt(key: bytes, encrypted: bytes) -> bytes:
    """Decrypt a value. Raises CannotDecrypt if it was encrypted with another key or changed."""
    head = encrypted[:_HEAD]
    if not head.startswith((VERSION, COMPRESSED)) or len(encrypted) < _SMALLEST:
        raise CannotDecrypt("this is not encrypted with the key of a subject")
    try:
        opened = _cached_cipher(key, head[1:]).decrypt(encrypted[_NONCE], encrypted[_NONCE.stop :], head)
        return decompress(opened) if head.startswith(COMPRESSED) else opened
    except (InvalidTag, ValueError) as error:
        raise CannotDecrypt("the key of this subject cannot decrypt this value") from error


def _salted_cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(hmac.digest(key, b"hub-subject-3" + salt + b"\x01", "sha256"))


# A page decrypts several payloads of one salt in a row. Only one key is cached, so that no key outlives its row long.
_cached_cipher = lru_cache(maxsize=1)(_salted_cipher)
