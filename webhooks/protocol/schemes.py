"""Schemes of verification: the settings of each, and the rules for its secrets.

Settings and secrets are checked when they are saved; `signatures` then only verifies.
"""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config_schema.cached_reader import CachedReader
from config_schema.declared import Declared, setting
from config_schema.objects import Object
from config_schema.secret_strength import can_be_guessed
from webhooks.protocol import challenge_hmac, hmac_rule
from webhooks.protocol.body_secret import BodySecret
from webhooks.protocol.hmac_rule import HEADER_NAME, decode_base64, decode_secret
from webhooks.protocol.tokens import jwt_rule

MIN_KEY_BYTES = 24
# Some senders generate the secret themselves, from 128 random bits: the keys of Zoom and Mandrill have 22 characters.
MIN_DECODED_BYTES = 16
MIN_TEXT_BYTES = 22

_STANDARD_PREFIX = "whsec_"
_PUBLIC_PREFIX = "whpk_"
_PUBLIC_SIZE = 32


class NoSettings(Declared):
    """Settings of a scheme that has none."""


class SecretHeader(Declared):
    """Settings of the scheme `header`."""

    header: str = setting(HEADER_NAME, "The header that holds the secret.", example="X-Api-Key")


@dataclass(frozen=True, slots=True)
class VerificationScheme:
    """A scheme that verifies a source. `secret` describes its secret; empty if it has none. `schema` is the kind of its
    settings, `example` a whole document.
    """

    label: str
    meaning: str
    secret: str = ""
    schema: Object[Any] = NoSettings.kind
    example: Mapping[str, Any] = field(default_factory=dict)


_HMAC_SECRET = f"the key of the HMAC, as text: at least {MIN_KEY_BYTES} bytes."
_PLAIN_SECRET = f"at least {MIN_TEXT_BYTES} printable characters, without a space at either end"

SCHEMES: Mapping[str, VerificationScheme] = {
    "standard-webhooks": VerificationScheme(
        "Standard Webhooks (also Svix)",
        "The headers `webhook-id`, `webhook-timestamp` and `webhook-signature`, or those of Svix (`svix-id` and so "
        "on), sign id, time and body. See https://www.standardwebhooks.com/.",
        f"`whsec_` and the key in base64 (`v1`), at least {MIN_KEY_BYTES} bytes; or `whpk_` and the sender's public "
        "Ed25519 key in base64 (`v1a`).",
    ),
    "body-hmac": VerificationScheme(
        "HMAC of the body in one header",
        "One header holds an HMAC of the raw body. It contains no time, so anyone who has seen a request can repeat "
        "it.",
        _HMAC_SECRET,
        hmac_rule.BODY_HMAC,
        {"header": "X-Hub-Signature-256", "prefix": "sha256="},
    ),
    "timestamped-hmac": VerificationScheme(
        "HMAC of time and body in one header (Stripe, WorkOS, Zitadel)",
        "One header such as `t=1700000000,v1=5257a8…` holds the time and the HMAC (SHA-256, hex) of the time, a full "
        "stop and the raw body.",
        _HMAC_SECRET,
        hmac_rule.TIMESTAMPED_HMAC,
        {"header": "Stripe-Signature"},
    ),
    "hmac": VerificationScheme(
        "HMAC of chosen parts of the request",
        "The general form of `body-hmac` and `timestamped-hmac`: settings say what is signed, and where the signature, "
        "the time and the id are.",
        f"the key of the HMAC, as text: at least {MIN_TEXT_BYTES} bytes. If you may choose it, let the hub generate "
        f"it. With `secret` set to `base64`, at least {MIN_DECODED_BYTES} bytes after decoding.",
        hmac_rule.HmacRule.kind,
        {
            "header": "X-Webhook-Signature",
            "signed": [hmac_rule.TIME, ".", hmac_rule.BODY],
            "encoding": "base64",
            "time_header": "X-Webhook-Timestamp",
        },
    ),
    "jwt": VerificationScheme(
        "Signed token (JWT)",
        "A JSON Web Signature in a header, in a field of the body, or as the whole body. Only the configured algorithm "
        "is accepted, and `none` never.",
        "for `HS256`, `HS384` and `HS512`: the key, at least 32, 48 or 64 bytes. The other algorithms have no secret.",
        jwt_rule.JwtRule.kind,
        {
            "algorithm": "RS256",
            "header": "Authorization",
            "jwks_url": "https://id.example.com/realms/main/protocol/openid-connect/certs",
            "issuer": "https://id.example.com/realms/main",
            "digest_claim": "request_body_sha256",
        },
    ),
    "bearer": VerificationScheme(
        "Bearer token",
        "The header `Authorization` holds `Bearer` and the secret.",
        f"the token: {_PLAIN_SECRET}.",
    ),
    "basic": VerificationScheme(
        "Username and password (Basic)",
        "The header `Authorization` holds a user name and a password (RFC 7617).",
        f"user name, colon and password. The password has {_PLAIN_SECRET}.",
    ),
    "header": VerificationScheme(
        "Secret value in a header",
        "A separate header holds the secret.",
        f"the value of the header: {_PLAIN_SECRET}.",
        SecretHeader.kind,
        {"header": "X-Api-Key"},
    ),
    "body-secret": VerificationScheme(
        "Secret in the body (weak)",
        "A field of the body holds the secret, such as `clientState` of Microsoft Graph. Weak: use it only for a "
        "sender that offers nothing else, because anyone who reads one webhook can send others. The body is rewritten "
        "without the secret before it is stored.",
        f"the value of the field: {_PLAIN_SECRET}.",
        BodySecret.kind,
        {"field": "value[].clientState"},
    ),
    "none": VerificationScheme(
        "No verification",
        "Anyone can send. Every webhook is only a hint: its data is never used, and answers contain no data from other "
        "systems.",
    ),
    "polled": VerificationScheme(
        "Polled: it sends nothing",
        "The hub reads what changed from the identity service at intervals, which `catch_up_minutes` of its connection "
        "sets. The source has no address and no secret: requests are answered as to an unknown one.",
    ),
}
# Schemes of sources of which no webhook is verified.
POLLED = "polled"
UNVERIFIED_SCHEMES = ("none", POLLED)


_READERS = {name: CachedReader(scheme.schema) for name, scheme in SCHEMES.items()}


def read_settings(scheme: str, settings: Mapping[str, Any]) -> Declared:
    """Return the settings of a scheme as its class. Raises SettingsInvalid, and KeyError if there is no such scheme."""
    rule: Declared = _READERS[scheme].read(settings)
    return rule


def check_settings(scheme: str, settings: Mapping[str, Any]) -> None:
    """Raise SettingsInvalid for the first setting that is invalid, ValueError if there is no such scheme."""
    _require_scheme(scheme).schema.read(settings, ())


def has_secret(scheme: str, settings: Mapping[str, Any]) -> bool:
    """Return True if the scheme verifies with a secret, not with a public key or not at all."""
    return scheme not in UNVERIFIED_SCHEMES and not (
        scheme == "jwt" and str(settings.get("algorithm")) not in jwt_rule.SYMMETRIC
    )


def needs_public_url(scheme: str, settings: Mapping[str, Any]) -> bool:
    """Return True if the address that the sender uses is signed."""
    return scheme == "hmac" and hmac_rule.URL in settings.get("signed", ())


def signed_query(scheme: str, settings: Mapping[str, Any]) -> str:
    """Return the query of the address that the sender uses, where that is signed; "" without one."""
    return str(settings.get("query", "")) if needs_public_url(scheme, settings) else ""


def needs_form(scheme: str, settings: Mapping[str, Any]) -> bool:
    """Return True if the fields of a form are signed, so that no other body can be verified."""
    return scheme == "hmac" and hmac_rule.FIELDS in settings.get("signed", ())


def signs_time_or_id(scheme: str, settings: Mapping[str, Any]) -> bool:
    """Return True if each webhook has a time or an id beside its body, and the signature covers it."""
    if scheme == "hmac":
        return bool({hmac_rule.TIME, hmac_rule.ID} & set(settings.get("signed", ())))
    # The times of a token say how long it may be used, and some senders use one token for many webhooks.
    return scheme in ("standard-webhooks", "timestamped-hmac") or (
        scheme == "jwt" and bool(settings.get("id_claim"))
    )


def signs_same_text_of_empty_bodies(scheme: str, settings: Mapping[str, Any]) -> bool:
    """Return True if one signature fits all requests without a body to one address, whatever their headers say."""
    if scheme == "hmac":
        return not signs_time_or_id(scheme, settings)
    return scheme == "body-hmac" or (scheme == "jwt" and bool(settings.get("detached")))


def hmac_key(scheme: str, settings: Mapping[str, Any], secret: str) -> bytes:
    """Return the key of the HMAC that a secret stands for; b"" if the scheme verifies no HMAC of these settings, or if
    the secret is not the configured base64.
    """
    return _decode_secret(secret, settings) if scheme in challenge_hmac.SCHEMES else b""


def check_secret(scheme: str, value: str, settings: Mapping[str, Any] | None = None) -> None:
    """Raise ValueError with a sentence, which never repeats the value, if a secret is invalid for `scheme` with these
    settings.

    An HMAC key needs at least 24 bytes; with the scheme `hmac` 22, or 16 after base64. A secret that is sent as it is
    needs 22 printable characters.
    """
    _require_scheme(scheme)
    _require_secret(scheme, settings)
    # Checked first: a public key is long enough to pass as a key or a password, and anybody may know it.
    if is_public_key(value):
        if scheme != "standard-webhooks":
            raise ValueError("A public key is not a secret.")
        if not decode_public_key(value):
            raise ValueError("The public key must be whpk_ followed by 32 bytes in base64.")
    elif scheme == "standard-webhooks":
        _check_hmac_key(decode_standard_key(value), MIN_KEY_BYTES, is_base64=True)
    elif scheme in challenge_hmac.SCHEMES:
        is_base64 = _has_base64_secret(settings)
        least = MIN_DECODED_BYTES if is_base64 else MIN_TEXT_BYTES
        if scheme != "hmac":
            least = MIN_KEY_BYTES
        _check_hmac_key(_decode_secret(value, settings), least, is_base64=is_base64)
    elif scheme == "jwt":
        _check_jwt_key(value, settings or {})
    elif scheme == "basic":
        user, colon, password = value.partition(":")
        if not (user and colon):
            raise ValueError("The secret must be a username, a colon and a password.")
        _check_static_secret(password)
    else:
        _check_static_secret(value)


def require_strong_secret(scheme: str, value: str, settings: Mapping[str, Any] | None = None) -> None:
    """Raise ValueError with a sentence if a secret that `check_secret` accepts can be guessed. A public key cannot."""
    if is_public_key(value):
        return
    content = decode_standard_key(value) if scheme == "standard-webhooks" else _decode_secret(value, settings)
    if can_be_guessed(value, content):
        raise ValueError("The secret can be guessed. Leave the field empty, and the hub generates one.")


def new_secret(scheme: str, settings: Mapping[str, Any] | None = None) -> str:
    """Return a new secret of 32 random bytes in the form that `scheme` and its settings require. Raises ValueError for
    `none` and `polled`.
    """
    _require_scheme(scheme)
    _require_secret(scheme, settings)
    match scheme:
        case "standard-webhooks":
            return _STANDARD_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")
        case "jwt" if not _has_base64_secret(settings):
            return secrets.token_urlsafe(64)
        case "jwt":
            return base64.b64encode(secrets.token_bytes(64)).decode("ascii")
        case "hmac" if _has_base64_secret(settings):
            return base64.b64encode(secrets.token_bytes(32)).decode("ascii")
        case "basic":
            return f"hub:{secrets.token_urlsafe(32)}"
    return secrets.token_urlsafe(32)


def decode_standard_key(value: str) -> bytes:
    """Return the bytes of a secret `whsec_…`, prefix and padding optional, or b"", which matches nothing, if it is not
    base64.
    """
    return decode_base64(value.removeprefix(_STANDARD_PREFIX))


def is_public_key(value: str) -> bool:
    """True if a secret of Standard Webhooks is the public half of the sender's key pair."""
    return value.startswith(_PUBLIC_PREFIX)


def decode_public_key(value: str) -> bytes:
    """Return the 32 bytes of a public key `whpk_…`, or b"", which matches nothing, if it is not one."""
    key = decode_base64(value.removeprefix(_PUBLIC_PREFIX)) if is_public_key(value) else b""
    return key if len(key) == _PUBLIC_SIZE else b""


def _require_secret(scheme: str, settings: Mapping[str, Any] | None) -> None:
    if scheme in UNVERIFIED_SCHEMES:
        raise ValueError("A source without verification has no secret.")
    if not has_secret(scheme, settings or {}):
        raise ValueError("The sender signs with its private key. The hub needs no secret.")


def _check_jwt_key(value: str, settings: Mapping[str, Any]) -> None:
    key = _decode_secret(value, settings)
    least = jwt_rule.SYMMETRIC[settings["algorithm"]]
    if "-----BEGIN" in value:
        raise ValueError("A public key is not a secret.")
    if len(key) < least:
        raise ValueError(f"The secret of {settings['algorithm']} must have at least {least} bytes.")


def _decode_secret(value: str, settings: Mapping[str, Any] | None) -> bytes:
    return decode_secret(value, "base64" if _has_base64_secret(settings) else "text")


def _has_base64_secret(settings: Mapping[str, Any] | None) -> bool:
    return (settings or {}).get("secret") == "base64"


def _require_scheme(name: str) -> VerificationScheme:
    if name not in SCHEMES:
        raise ValueError("There is no such verification.")
    return SCHEMES[name]


def _check_hmac_key(key: bytes, least: int, *, is_base64: bool) -> None:
    if not key and is_base64:
        raise ValueError("The secret must be base64, optionally after whsec_.")
    if not key:
        raise ValueError("The secret is empty.")
    if len(key) < least:
        raise ValueError(f"The secret must have at least {least} bytes.")


def _check_static_secret(value: str) -> None:
    if not value.isprintable() or value != value.strip():
        raise ValueError("The secret must not contain control characters, or start or end with a space.")
    if len(value) < MIN_TEXT_BYTES:
        raise ValueError(f"The secret must have at least {MIN_TEXT_BYTES} characters.")
