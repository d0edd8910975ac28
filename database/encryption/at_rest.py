"""Encrypt values at rest with the keys of the setting SEALING_KEYS: AES-256-GCM of the `cryptography` package.

One key may use only a limited number of random nonces, so each process draws a salt, derives its own key from
it (HKDF-SHA256, RFC 5869) and counts its nonces. The first of SEALING_KEYS encrypts, any of them decrypts. To rotate,
put a new key first in every process and remove the old one after `manage.py reseal` has run.

Format: 1 byte version, 4 bytes naming the key, 16 bytes salt, 12 bytes nonce, the ciphertext with its 16-byte tag.
The associated data are these first 21 bytes, followed by those of the caller: a value decrypts only with the same.
"""

import base64
import hashlib
import itertools
import json
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

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
    """A value that none of SEALING_KEYS decrypts: its key is missing, or see `NotAuthentic`."""


class NotAuthentic(CannotDecrypt):
    """A value whose key is known, but that was changed, or encrypted with other associated data."""


class _ProcessCipher:
    """This process's key, derived from one of SEALING_KEYS. It never uses a nonce twice."""

    def __init__(self, key: str) -> None:
        salt = os.urandom(16)
        self._head = _VERSION + _key_name(key) + salt
        self._cipher = _derive_cipher(key, salt)
        self._numbers = itertools.count()

    def encrypt(self, plain: bytes, associated: bytes) -> bytes:
        # `next` of this counter is atomic under the interpreter's lock, so no two threads get the same nonce.
        nonce = next(self._numbers).to_bytes(12, "big")
        return self._head + nonce + self._cipher.encrypt(nonce, plain, self._head + associated)


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


def encrypt(plain: bytes, associated: bytes = b"") -> bytes:
    """Encrypt bytes with the first of SEALING_KEYS. The result is 49 bytes longer than `plain`.

    Only who has the same `associated` data, which are not stored with it, can decrypt it.
    """
    return _process_cipher(settings.SEALING_KEYS[0]).encrypt(plain, associated)


def decrypt(encrypted: bytes, associated: bytes = b"") -> bytes:
    """Decrypt a value. Raises CannotDecrypt if no key matches, a bit was changed or the associated data differ."""
    encrypted = bytes(encrypted)
    is_encrypted = encrypted.startswith(_VERSION) and len(encrypted) >= _SMALLEST
    head, salt, nonce = encrypted[:_HEAD], encrypted[_SALT], encrypted[_NONCE]
    error: CannotDecrypt = CannotDecrypt(
        "none of SEALING_KEYS can decrypt this value: check that they still contain every key in use"
    )
    for key in settings.SEALING_KEYS if is_encrypted else ():
        # Four bytes are a hint that saves needless decryptions. Two keys may share them: go on after a failure.
        if _key_name(key) == encrypted[1:5]:
            try:
                return _derive_cipher(key, salt).decrypt(nonce, encrypted[_NONCE.stop :], head + associated)
            except InvalidTag:
                error = NotAuthentic(
                    "this value was changed, or belongs to another row or address: enter it again"
                )
    raise error


def encrypt_again(encrypted: bytes, associated: bytes = b"") -> bytes:
    """Return the value encrypted with the first of SEALING_KEYS. Raises CannotDecrypt."""
    return encrypt(decrypt(encrypted, associated), associated)


class BoundRow(Protocol):
    """A row with encrypted columns."""

    def secret_binding(self) -> Sequence[str]:
        """Return what the encrypted values of this row belong to: the row itself, and where they may be used."""


class EncryptedValue:
    """A value as it is stored, with the plain one once it was read. An object of its own, so that no JSON value is
    taken for it.
    """

    __slots__ = ("encrypted", "plain")

    def __init__(self, encrypted: bytes) -> None:
        self.encrypted = encrypted
        self.plain: Any = None


class _DecryptedOnRead(DeferredAttribute):
    """The attribute of an `EncryptedJSONField`: decrypts when it is read first."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if not isinstance(value, EncryptedValue):
            return value
        if value.plain is None:
            field: Any = self.field
            value.plain = field.decrypt_for(instance, value.encrypted)
        return value.plain

    # With a setter, Python asks this attribute before the dictionary of the object.
    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class EncryptedJSONField(models.BinaryField):  # type: ignore[type-arg]
    """A JSON value that is stored encrypted, and is usable only where `BoundRow.secret_binding` says: in another row,
    or after a part of the binding was changed in the database, it cannot be decrypted.

    It is decrypted when it is first read, so an unused row costs and breaks nothing: reading the attribute raises
    CannotDecrypt, loading the row does not. Saving a row encrypts a value that was assigned; one that was only read is
    saved as it was stored, so that a change of the binding needs the value to be assigned again. Statements without the
    row (`QuerySet.update`, `bulk_update`) take only the result of `encrypt_for`.
    """

    description = "encrypted JSON"
    descriptor_class = _DecryptedOnRead

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("editable", False)
        super().__init__(*args, **kwargs)

    def encrypt_for(self, row: BoundRow, value: Any) -> EncryptedValue:
        """Encrypt a JSON value for a row, which may be unsaved."""
        plain = json.dumps(value, separators=(",", ":")).encode()
        return EncryptedValue(encrypt(plain, _associated_data(row)))

    def decrypt_for(self, row: BoundRow, encrypted: bytes) -> Any:
        """Return the JSON value that is stored in a row. Raises CannotDecrypt."""
        return json.loads(decrypt(encrypted, _associated_data(row)))

    def reencrypt_for(self, row: BoundRow, encrypted: bytes) -> EncryptedValue:
        """Encrypt the value that is stored in a row with the first of SEALING_KEYS. Raises CannotDecrypt."""
        return EncryptedValue(encrypt_again(encrypted, _associated_data(row)))

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        if self.attname not in model_instance.__dict__:
            # A deferred value is loaded first.
            super().pre_save(model_instance, add)
        value = model_instance.__dict__[self.attname]
        if value is None or isinstance(value, EncryptedValue):
            return value
        return self.encrypt_for(model_instance, value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if value is None:
            return None
        if not isinstance(value, EncryptedValue):
            raise TypeError(f"{self.name} is encrypted for its row: save the row, or use encrypt_for")
        return super().get_db_prep_value(value.encrypted, connection, prepared)

    def from_db_value(self, value: Any, *_: Any) -> Any:
        return None if value is None else EncryptedValue(bytes(value))

    def value_to_string(self, obj: models.Model) -> str:
        """Return "" so that `dumpdata` never contains the value."""
        return ""

    def to_python(self, value: Any) -> Any:
        return value


def _associated_data(row: BoundRow) -> bytes:
    return json.dumps(row.secret_binding(), separators=(",", ":")).encode()
