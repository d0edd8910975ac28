"""Values sealed at rest: authenticated encryption under a key from the environment.

Fernet (AES-128-CBC with HMAC-SHA256) of the `cryptography` package, through its MultiFernet: the first of
SEALING_KEYS seals, every one of them opens, so a new key is put in front and the old one stays until
`manage.py reseal` has run.
"""

import base64
import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


class CannotOpen(Exception):
    """The value was sealed with a key that is not among SEALING_KEYS, or was changed."""


@lru_cache(maxsize=4)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def seal(plain: bytes) -> bytes:
    """Sealed bytes that only a holder of the key can open; about 60 bytes longer than `plain`."""
    return base64.urlsafe_b64decode(_box(tuple(settings.SEALING_KEYS)).encrypt(plain))


def unseal(sealed: bytes) -> bytes:
    """What was sealed. `CannotOpen` when no key fits or a bit was changed."""
    try:
        return _box(tuple(settings.SEALING_KEYS)).decrypt(base64.urlsafe_b64encode(bytes(sealed)))
    except InvalidToken as error:
        raise CannotOpen("none of SEALING_KEYS opens this value") from error


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
