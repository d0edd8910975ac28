"""Schemes of verification: the settings of each, and the rules for its secrets.

Settings and secrets are checked when they are saved; `signatures` then only verifies.
"""

import base64
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SHORTEST_KEY = 24
SHORTEST_STATIC = 16

_STANDARD_PREFIX = "whsec_"
_PUBLIC_PREFIX = "whpk_"
_PUBLIC_SIZE = 32
# A token of RFC 9110 without the underscore: servers drop such names, as they cannot tell X_A from X-A.
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]{1,64}")
_PREFIX = re.compile(r"[!-~]{0,32}")
_PART_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True)
class SchemeSetting:
    """One setting of a scheme. If it has `choices`, no other value is valid."""

    label: str
    required: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()
    pattern: re.Pattern[str] = _PREFIX


@dataclass(frozen=True, slots=True)
class VerificationScheme:
    label: str
    settings: Mapping[str, SchemeSetting] = field(default_factory=dict)


_HEADER = SchemeSetting("Header name", required=True, pattern=_HEADER_NAME)

SCHEMES: Mapping[str, VerificationScheme] = {
    "standard-webhooks": VerificationScheme("Standard Webhooks (also Svix)"),
    "body-hmac": VerificationScheme(
        "HMAC of the body in one header",
        {
            "header": _HEADER,
            "encoding": SchemeSetting("Encoding", default="hex", choices=("hex", "base64")),
            "prefix": SchemeSetting("Text before the signature"),
            "algorithm": SchemeSetting("Hash", default="sha256", choices=("sha256", "sha512", "sha1")),
        },
    ),
    "timestamped-hmac": VerificationScheme(
        "HMAC of time and body in one header (Stripe, WorkOS, Zitadel)",
        {
            "header": _HEADER,
            "unit": SchemeSetting("Unit of the time", default="seconds", choices=("seconds", "milliseconds")),
            "time": SchemeSetting("Name of the time field", default="t", pattern=_PART_NAME),
            "signature": SchemeSetting("Name of the signature field", default="v1", pattern=_PART_NAME),
        },
    ),
    "bearer": VerificationScheme("Bearer token"),
    "basic": VerificationScheme("Username and password (Basic)"),
    "header": VerificationScheme("Secret value in a header", {"header": _HEADER}),
    "none": VerificationScheme("No verification"),
}


def resolve_settings(scheme: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return every setting of a scheme: the given value, or its default."""
    known = SCHEMES[scheme].settings
    return {name: settings.get(name) or setting.default for name, setting in known.items()}


def check_settings(scheme: str, settings: Mapping[str, Any]) -> None:
    """Raise ValueError with a sentence for the first setting that is invalid for `scheme`."""
    known = _require_scheme(scheme).settings
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"This verification has no option {unknown[0]!r}.")
    for name, setting in known.items():
        _check_setting(setting, settings.get(name, setting.default))


def check_secret(scheme: str, value: str) -> None:
    """Raise ValueError with a sentence, which never repeats the value, if a secret is invalid for `scheme`.

    An HMAC key needs at least 24 bytes, a secret that is sent as it is at least 16 printable characters.
    """
    _require_scheme(scheme)
    if scheme == "none":
        raise ValueError("A source without verification has no secret.")
    # Checked first: a public key is long enough to pass as a key or a password, and anybody may know it.
    if is_public_key(value):
        if scheme != "standard-webhooks":
            raise ValueError("A public key is not a secret.")
        if not decode_public_key(value):
            raise ValueError("The public key must be whpk_ followed by 32 bytes in base64.")
    elif scheme == "standard-webhooks":
        _check_hmac_key(decode_standard_key(value), "The secret must be base64, optionally after whsec_.")
    elif scheme in ("body-hmac", "timestamped-hmac"):
        _check_hmac_key(value.encode(), "The secret is empty.")
    elif scheme == "basic":
        user, colon, password = value.partition(":")
        if not (user and colon):
            raise ValueError("The secret must be a username, a colon and a password.")
        _check_static_secret(password)
    else:
        _check_static_secret(value)


def new_secret(scheme: str) -> str:
    """Return a new secret of 32 random bytes in the form that `scheme` requires. Raises ValueError for `none`."""
    _require_scheme(scheme)
    match scheme:
        case "none":
            raise ValueError("A source without verification has no secret.")
        case "standard-webhooks":
            return _STANDARD_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")
        case "basic":
            return f"hub:{secrets.token_urlsafe(32)}"
    return secrets.token_urlsafe(32)


def decode_standard_key(value: str) -> bytes:
    """Return the bytes of a secret `whsec_…`, prefix and padding optional, or b"", which matches nothing, if it is not
    base64.
    """
    return _decode_base64(value.removeprefix(_STANDARD_PREFIX))


def is_public_key(value: str) -> bool:
    """True if a secret of Standard Webhooks is the public half of the sender's key pair."""
    return value.startswith(_PUBLIC_PREFIX)


def decode_public_key(value: str) -> bytes:
    """Return the 32 bytes of a public key `whpk_…`, or b"", which matches nothing, if it is not one."""
    key = _decode_base64(value.removeprefix(_PUBLIC_PREFIX)) if is_public_key(value) else b""
    return key if len(key) == _PUBLIC_SIZE else b""


def _decode_base64(text: str) -> bytes:
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    # `binascii.Error` is a ValueError; text that is not ASCII raises a plain one.
    except ValueError:
        return b""


def _require_scheme(name: str) -> VerificationScheme:
    if name not in SCHEMES:
        raise ValueError("There is no such verification.")
    return SCHEMES[name]


def _check_setting(setting: SchemeSetting, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{setting.label} must be text.")
    if not value and setting.required:
        raise ValueError(f"{setting.label} is missing.")
    if setting.choices and value not in setting.choices:
        raise ValueError(f"{setting.label} must be one of {', '.join(setting.choices)}.")
    if not setting.choices and not setting.pattern.fullmatch(value):
        raise ValueError(f"{setting.label} contains invalid characters or is too long.")


def _check_hmac_key(key: bytes, sentence_if_empty: str) -> None:
    if not key:
        raise ValueError(sentence_if_empty)
    if len(key) < SHORTEST_KEY:
        raise ValueError(f"The secret must have at least {SHORTEST_KEY} bytes.")


def _check_static_secret(value: str) -> None:
    if not value.isprintable() or value != value.strip():
        raise ValueError("The secret must not contain control characters, or start or end with a space.")
    if len(value) < SHORTEST_STATIC:
        raise ValueError(f"The secret must have at least {SHORTEST_STATIC} characters.")
