"""How a source can prove itself: the schemes, what each must be told, and which secrets are good enough to
keep.

Checked when settings are saved; `signatures` then only verifies.
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
class Setting:
    """One setting of a scheme. With `choices`, no other value is taken."""

    label: str
    required: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()
    pattern: re.Pattern[str] = _PREFIX


@dataclass(frozen=True, slots=True)
class Scheme:
    label: str
    settings: Mapping[str, Setting] = field(default_factory=dict)


_HEADER = Setting("Header name", required=True, pattern=_HEADER_NAME)

SCHEMES: Mapping[str, Scheme] = {
    "standard-webhooks": Scheme("Standard Webhooks (also Svix)"),
    "body-hmac": Scheme(
        "HMAC of the body in one header",
        {
            "header": _HEADER,
            "encoding": Setting("Encoding", default="hex", choices=("hex", "base64")),
            "prefix": Setting("Text before the signature"),
            "algorithm": Setting("Hash", default="sha256", choices=("sha256", "sha512", "sha1")),
        },
    ),
    "timestamped-hmac": Scheme(
        "HMAC of time and body in one header (Stripe, WorkOS, Zitadel)",
        {
            "header": _HEADER,
            "unit": Setting("Unit of the time", default="seconds", choices=("seconds", "milliseconds")),
            "time": Setting("Name of the time field", default="t", pattern=_PART_NAME),
            "signature": Setting("Name of the signature field", default="v1", pattern=_PART_NAME),
        },
    ),
    "bearer": Scheme("Bearer token"),
    "basic": Scheme("Username and password (Basic)"),
    "header": Scheme("Secret value in a header", {"header": _HEADER}),
    "none": Scheme("No verification"),
}


def chosen(scheme: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Every setting of a scheme: as it was set, or its default."""
    return {name: settings.get(name) or each.default for name, each in SCHEMES[scheme].settings.items()}


def check_settings(scheme: str, settings: Mapping[str, Any]) -> None:
    """Raises `ValueError` with one sentence for the first setting that `scheme` cannot use."""
    known = _scheme(scheme).settings
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"This verification has no option {unknown[0]!r}.")
    for name, setting in known.items():
        _check_setting(setting, settings.get(name, setting.default))


def check_secret(scheme: str, value: str) -> None:
    """Raises `ValueError` with one sentence, which never repeats the value, for a secret that must not be
    kept.

    Keys of an HMAC have at least 24 bytes, secrets that are sent as they are at least 16 printable
    characters.
    """
    _scheme(scheme)
    if scheme == "none":
        raise ValueError("A source without verification has no secret.")
    if is_public(value):
        if scheme != "standard-webhooks":
            raise ValueError("A public key is not a secret.")
        if not public_key(value):
            raise ValueError("The public key must be whpk_ followed by 32 bytes in base64.")
    elif scheme == "standard-webhooks":
        _check_key(standard_key(value), "The secret must be base64, optionally after whsec_.")
    elif scheme in ("body-hmac", "timestamped-hmac"):
        _check_key(value.encode(), "The secret is empty.")
    elif scheme == "basic":
        user, colon, password = value.partition(":")
        if not (user and colon):
            raise ValueError("The secret must be a username, a colon and a password.")
        _check_static(password)
    else:
        _check_static(value)


def new_secret(scheme: str) -> str:
    """A fresh secret of 32 random bytes in the form that `scheme` wants. Raises `ValueError` for `none`."""
    _scheme(scheme)
    match scheme:
        case "none":
            raise ValueError("A source without verification has no secret.")
        case "standard-webhooks":
            return _STANDARD_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")
        case "basic":
            return f"hub:{secrets.token_urlsafe(32)}"
    return secrets.token_urlsafe(32)


def standard_key(value: str) -> bytes:
    """The bytes of `whsec_…`, prefix and padding optional; b"" where it is not base64, which fits nothing."""
    return _decoded(value.removeprefix(_STANDARD_PREFIX))


def is_public(value: str) -> bool:
    """Whether a secret of Standard Webhooks is none, but the public half of the sender's own key."""
    return value.startswith(_PUBLIC_PREFIX)


def public_key(value: str) -> bytes:
    """The 32 bytes of `whpk_…`; b"" where it is not such a key, which fits nothing."""
    key = _decoded(value.removeprefix(_PUBLIC_PREFIX)) if is_public(value) else b""
    return key if len(key) == _PUBLIC_SIZE else b""


def _decoded(text: str) -> bytes:
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:  # binascii.Error is one, and text that is not ASCII raises the plain one
        return b""


def _scheme(name: str) -> Scheme:
    if name not in SCHEMES:
        raise ValueError("There is no such verification.")
    return SCHEMES[name]


def _check_setting(setting: Setting, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{setting.label} must be text.")
    if not value and setting.required:
        raise ValueError(f"{setting.label} is missing.")
    if setting.choices and value not in setting.choices:
        raise ValueError(f"{setting.label} must be one of {', '.join(setting.choices)}.")
    if not setting.choices and not setting.pattern.fullmatch(value):
        raise ValueError(f"{setting.label} contains invalid characters or is too long.")


def _check_key(key: bytes, sentence_if_empty: str) -> None:
    if not key:
        raise ValueError(sentence_if_empty)
    if len(key) < SHORTEST_KEY:
        raise ValueError(f"The secret must have at least {SHORTEST_KEY} bytes.")


def _check_static(value: str) -> None:
    if not value.isprintable() or value != value.strip():
        raise ValueError("The secret must not contain control characters, or start or end with a space.")
    if len(value) < SHORTEST_STATIC:
        raise ValueError(f"The secret must have at least {SHORTEST_STATIC} characters.")
