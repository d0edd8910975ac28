"""Checks that every secret of the settings is strong: one rule for all, and how to make a good one of each kind.

Passwords of the database, the broker and the mail server are chosen by those systems: they are only compared with the
hub's own secrets.
"""

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from config_schema.secret_strength import Weakness, find_weakness
from connectors.signed_post import MIN_KEY_BYTES, SECRET_PREFIX, parse_signing_key

_WEAKNESSES = {
    Weakness.REPEATED: "can be guessed: it repeats a few characters",
    Weakness.EXAMPLE: "can be guessed: it is an example, not a random value",
}
_ENCRYPTION_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class SecretKind:
    """A form of secret: `decode` returns the bytes that count, or raises ValueError with the end of a sentence."""

    decode: Callable[[str], bytes]
    hint: str


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret of the settings. `name` is what a message calls it; `check_id` the id of its message."""

    name: str
    value: str
    kind: SecretKind
    check_id: str


def _make_with(expression: str, modules: str = "secrets") -> str:
    return f"Make one with: python -c 'import {modules}; print({expression})'"


def _decode_text(least: int) -> Callable[[str], bytes]:
    def decode(value: str) -> bytes:
        if len(value) < least:
            raise ValueError(f"is shorter than {least} characters")
        if value != value.strip():
            raise ValueError("begins or ends with a space")
        return value.encode()

    return decode


def _decode_encryption_key(value: str) -> bytes:
    try:
        key = base64.b64decode(value, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _ENCRYPTION_KEY_BYTES:
        raise ValueError(f"is invalid: a key must be {_ENCRYPTION_KEY_BYTES} bytes in URL-safe base64")
    return key


def _decode_signing_secret(value: str) -> bytes:
    try:
        return parse_signing_key(value)
    except ValueError:
        raise ValueError(
            f"is invalid: it must be {SECRET_PREFIX} followed by at least {MIN_KEY_BYTES} bytes in base64"
        ) from None


DJANGO_KEY = SecretKind(_decode_text(50), _make_with("secrets.token_urlsafe(50)"))
TOKEN = SecretKind(_decode_text(32), _make_with("secrets.token_urlsafe(32)"))
ENCRYPTION_KEY = SecretKind(
    _decode_encryption_key, _make_with("base64.urlsafe_b64encode(os.urandom(32)).decode()", "base64, os")
)
SIGNING_SECRET = SecretKind(
    _decode_signing_secret,
    _make_with(f'"{SECRET_PREFIX}" + base64.b64encode(os.urandom(32)).decode()', "base64, os"),
)
# Every secret that the hub's operator makes up: a test compares this with what is hidden in log lines.
SECRET_SETTINGS: dict[str, tuple[SecretKind, str]] = {
    "SECRET_KEY": (DJANGO_KEY, "hub.E001"),
    "SECRET_KEY_FALLBACKS": (DJANGO_KEY, "hub.E017"),
    "SEALING_KEYS": (ENCRYPTION_KEY, "hub.E002"),
    "SEARCH_KEYS": (ENCRYPTION_KEY, "hub.E017"),
    "HEALTH_TOKEN": (TOKEN, "hub.E017"),
    "METRICS_TOKEN": (TOKEN, "hub.E017"),
    "ALARM_WEBHOOK_SECRET": (SIGNING_SECRET, "hub.E017"),
    "AUDIT_CHECKPOINT_SECRET": (SIGNING_SECRET, "hub.E017"),
}


@register()
def check_secrets(**_: Any) -> list[CheckMessage]:
    """Check each secret that is set (hub.E001, hub.E002, hub.E017): with a weak one, access can be forged."""
    # The value is not repeated: messages reach logs and terminals.
    seen = {password: name for name, password in _other_passwords()}
    messages: list[CheckMessage] = []
    for secret in _list_secrets():
        weakness = describe_weakness(secret.kind, secret.value)
        known = _normalize_secret(secret.value)
        if not weakness and known in seen:
            weakness = f"has the same value as {seen[known]}"
        seen.setdefault(known, secret.name)
        if weakness:
            message = f"{secret.name} {weakness}."
            messages.append(Error(message, hint=secret.kind.hint, id=secret.check_id))
    return messages


def describe_weakness(kind: SecretKind, value: str) -> str:
    """Return the end of a sentence that says what is wrong with a secret, without repeating it; empty if it is good."""
    try:
        content = kind.decode(value)
    except ValueError as error:
        return str(error)
    weakness = find_weakness(value, content)
    return "" if weakness is None else _WEAKNESSES[weakness]


def _normalize_secret(value: str) -> str:
    """Return a value without what differs between two spellings of one secret."""
    return value.removeprefix(SECRET_PREFIX).rstrip("=").translate(str.maketrans("+/", "-_"))


def _list_secrets() -> Iterator[Secret]:
    """Yield each secret that is set. SECRET_KEY and SEALING_KEYS always are: the settings refuse to be without."""
    for name, (kind, check_id) in SECRET_SETTINGS.items():
        value = getattr(settings, name)
        if not isinstance(value, list):
            if value or name == "SECRET_KEY":
                yield Secret(name, value, kind, check_id)
            continue
        for number, key in enumerate(value, start=1):
            yield Secret(f"Key number {number} of {name}", key, kind, check_id)


def _other_passwords() -> Iterator[tuple[str, str]]:
    """Yield the passwords that other systems gave, with the variables that contain them."""
    passwords = {
        "DATABASE_URL": settings.DATABASES["default"].get("PASSWORD"),
        "CELERY_BROKER_URL": unquote(urlsplit(settings.CELERY_BROKER_URL).password or ""),
        "EMAIL_URL": settings.EMAIL_HOST_PASSWORD,
    }
    return ((name, _normalize_secret(password)) for name, password in passwords.items() if password)
