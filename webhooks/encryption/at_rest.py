"""Values sealed at rest: authenticated encryption under keys from the environment.

AES-256-GCM of the `cryptography` package. Under one key a random nonce must not be used for ever, so each process draws
a salt, derives a key of its own from it (HKDF-SHA256, RFC 5869), and counts its nonces. The first of SEALING_KEYS
seals, every one of them opens, so a new key is put in front, in every process, and the old one stays until
`manage.py reseal` has run.

A sealed value: 1 byte version, 4 bytes naming the key, 16 bytes salt, 12 bytes nonce, the cipher text with its 16-byte
tag.
"""

import base64
import hashlib
import itertools
import json
import os
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import models

_VERSION = b"\x02"
_SALT = slice(5, 21)
_NONCE = slice(21, 33)
_HEAD = 21
_SMALLEST = 49


class CannotOpen(Exception):
    """The value was sealed with a key that is not among SEALING_KEYS, or was changed."""


class _Sealer:
    """One process's key under one of SEALING_KEYS; no nonce of it is ever used twice."""

    def __init__(self, key: str) -> None:
        salt = os.urandom(16)
        self._head = _VERSION + _name_of(key) + salt
        self._cipher = _derived(key, salt)
        self._numbers = itertools.count()

    def seal(self, plain: bytes) -> bytes:
        nonce = next(self._numbers).to_bytes(12, "big")
        return self._head + nonce + self._cipher.encrypt(nonce, plain, self._head)


@lru_cache(maxsize=4)
def _sealer(key: str) -> _Sealer:
    return _Sealer(key)


os.register_at_fork(after_in_child=_sealer.cache_clear)


@lru_cache(maxsize=1024)
def _derived(key: str, salt: bytes) -> AESGCM:
    derive = HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"hub-sealing-2")
    return AESGCM(derive.derive(base64.urlsafe_b64decode(key)))


@lru_cache(maxsize=16)
def _name_of(key: str) -> bytes:
    return hashlib.sha256(b"hub-sealing-2" + base64.urlsafe_b64decode(key)).digest()[:4]


def seal(plain: bytes) -> bytes:
    """Sealed bytes that only a holder of the key can open; 49 bytes longer than `plain`."""
    return _sealer(settings.SEALING_KEYS[0]).seal(plain)


def unseal(sealed: bytes) -> bytes:
    """What was sealed. `CannotOpen` when no key fits or a bit was changed."""
    sealed = bytes(sealed)
    is_sealed = sealed.startswith(_VERSION) and len(sealed) >= _SMALLEST
    head, salt, nonce = sealed[:_HEAD], sealed[_SALT], sealed[_NONCE]
    for key in settings.SEALING_KEYS if is_sealed else ():
        if _name_of(key) == sealed[1:5]:
            try:
                return _derived(key, salt).decrypt(nonce, sealed[_NONCE.stop :], head)
            except InvalidTag:
                continue
    raise CannotOpen("none of SEALING_KEYS can decrypt this value")


def reseal(sealed: bytes) -> bytes:
    """The same value under the first key."""
    return seal(unseal(sealed))


class SealedJSONField(models.BinaryField):  # type: ignore[type-arg]
    """A JSON value that is sealed on its way into the database and opened on its way out."""

    description = "sealed JSON"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("editable", False)
        super().__init__(*args, **kwargs)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if value is None:
            return None
        sealed = seal(json.dumps(value, separators=(",", ":")).encode())
        return super().get_db_prep_value(sealed, connection, prepared)

    def from_db_value(self, value: Any, *_: Any) -> Any:
        return None if value is None else json.loads(unseal(value))

    def value_to_string(self, obj: models.Model) -> str:
        """Never into a serialised dump."""
        return ""

    def to_python(self, value: Any) -> Any:
        return value
