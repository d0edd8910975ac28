"""Encrypt values at rest with the keys of the setting SEALING_KEYS: AES-256-GCM of the `cryptography` package.

One key may use only a limited number of random nonces, so each process draws a salt, derives its own key from
it (HKDF-SHA256, RFC 5869) and counts its nonces. The first of SEALING_KEYS encrypts, any of them decrypts. To rotate,
put a new key first in every process and remove the old one after `manage.py reseal` has run.

Format: 1 byte version, 4 bytes naming the key, 16 bytes salt, 12 bytes nonce, the ciphertext with its 16-byte tag.
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
from django.db.models.query_utils import DeferredAttribute

_VERSION = b"\x02"
_SALT = slice(5, 21)
_NONCE = slice(21, 33)
_HEAD = 21
_SMALLEST = 49


class CannotDecrypt(Exception):
    """A value that none of SEALING_KEYS decrypts: its key is missing, or the value was changed."""


class _ProcessCipher:
    """This process's key, derived from one of SEALING_KEYS. It never uses a nonce twice."""

    def __init__(self, key: str) -> None:
        salt = os.urandom(16)
        self._head = _VERSION + _key_name(key) + salt
        self._cipher = _derive_cipher(key, salt)
        self._numbers = itertools.count()

    def encrypt(self, plain: bytes) -> bytes:
        # `next` of this counter is atomic under the interpreter's lock, so no two threads get the same nonce.
        nonce = next(self._numbers).to_bytes(12, "big")
        return self._head + nonce + self._cipher.encrypt(nonce, plain, self._head)


@lru_cache(maxsize=4)
def _process_cipher(key: str) -> _ProcessCipher:
    return _ProcessCipher(key)


# A forked child has its parent's salt and counter, and would use the same nonces.
os.register_at_fork(after_in_child=_process_cipher.cache_clear)


@lru_cache(maxsize=1024)
def _derive_cipher(key: str, salt: bytes) -> AESGCM:
    derive = HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"hub-sealing-2")
    return AESGCM(derive.derive(base64.urlsafe_b64decode(key)))


@lru_cache(maxsize=16)
def _key_name(key: str) -> bytes:
    return hashlib.sha256(b"hub-sealing-2" + base64.urlsafe_b64decode(key)).digest()[:4]


def encrypt(plain: bytes) -> bytes:
    """Encrypt bytes with the first of SEALING_KEYS. The result is 49 bytes longer than `plain`."""
    return _process_cipher(settings.SEALING_KEYS[0]).encrypt(plain)


def decrypt(encrypted: bytes) -> bytes:
    """Decrypt a value. Raises CannotDecrypt if no key matches or a bit was changed."""
    encrypted = bytes(encrypted)
    is_encrypted = encrypted.startswith(_VERSION) and len(encrypted) >= _SMALLEST
    head, salt, nonce = encrypted[:_HEAD], encrypted[_SALT], encrypted[_NONCE]
    for key in settings.SEALING_KEYS if is_encrypted else ():
        # Four bytes are a hint that saves needless decryptions. Two keys may share them: go on after a failure.
        if _key_name(key) == encrypted[1:5]:
            try:
                return _derive_cipher(key, salt).decrypt(nonce, encrypted[_NONCE.stop :], head)
            except InvalidTag:
                continue
    raise CannotDecrypt("none of SEALING_KEYS can decrypt this value")


def encrypt_again(encrypted: bytes) -> bytes:
    """Return the value encrypted with the first of SEALING_KEYS. Raises CannotDecrypt."""
    return encrypt(decrypt(encrypted))


class EncryptedJSONField(models.BinaryField):  # type: ignore[type-arg]
    """A JSON value that is stored encrypted."""

    description = "encrypted JSON"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("editable", False)
        super().__init__(*args, **kwargs)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if value is None:
            return None
        encrypted = encrypt(json.dumps(value, separators=(",", ":")).encode())
        return super().get_db_prep_value(encrypted, connection, prepared)

    def from_db_value(self, value: Any, *_: Any) -> Any:
        return None if value is None else json.loads(decrypt(value))

    def value_to_string(self, obj: models.Model) -> str:
        """Return "" so that `dumpdata` never contains the value."""
        return ""

    def to_python(self, value: Any) -> Any:
        return value


class _EncryptedValue:
    """A value as it is stored. An object of its own, so that no JSON value is taken for it."""

    __slots__ = ("encrypted",)

    def __init__(self, encrypted: bytes) -> None:
        self.encrypted = encrypted


class _DecryptedOnRead(DeferredAttribute):
    """The attribute of a `LazyEncryptedJSONField`: decrypts when it is read first."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if isinstance(value, _EncryptedValue):
            value = instance.__dict__[self.field.attname] = json.loads(decrypt(value.encrypted))
        return value

    # With a setter, Python asks this attribute before the dictionary of the object.
    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class LazyEncryptedJSONField(EncryptedJSONField):
    """An encrypted JSON value that is decrypted when it is first read, so an unused row costs and breaks nothing.

    Reading the attribute raises CannotDecrypt; loading the row does not.
    """

    descriptor_class = _DecryptedOnRead

    def from_db_value(self, value: Any, *_: Any) -> Any:
        return None if value is None else _EncryptedValue(bytes(value))
