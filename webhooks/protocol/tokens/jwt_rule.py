"""The scheme `jwt`: a JSON Web Signature in a header, in a field of the body, or as the body. Its settings. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import Boolean, Choice, JsonSchema, Text, ValueKind, WholeNumber
from config_schema.objects import Object
from config_schema.settings import SettingValues, defaulted, optional, required
from config_schema.translatable import error_sentence, translatable
from webhooks.protocol.hmac_rule import BASE64_SECRET_PREFIX, HEADER_NAME, decode_base64
from webhooks.protocol.tokens.public_keys import ASYMMETRIC, PublicKey, load_pem

# The least bytes of a key (RFC 7518, section 3.2).
SYMMETRIC: Mapping[str, int] = {"HS256": 32, "HS384": 48, "HS512": 64}
MAX_PEM_KEYS = 4
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_CLAIM = Text(
    re.compile(r"[!-~]{1,128}"),
    translatable("1 to 128 printable ASCII characters, no space"),
    translatable("This must be the name of a claim: 1 to 128 printable characters."),
)
_WORD = Text(
    re.compile(r"[!-~]{1,512}"),
    translatable("1 to 512 printable ASCII characters, no space"),
    translatable("This must be 1 to 512 printable characters, without a space."),
)
_NAME = r"[A-Za-z_@$][A-Za-z0-9_@$-]{0,63}"
_BODY_PATH = Text(
    re.compile(rf"{_NAME}(?:\.{_NAME}){{0,7}}"),
    translatable("names separated by full stops, at most 8"),
    translatable("This must be at most 8 names of fields separated by full stops."),
)


@dataclass(frozen=True)
class PublicKeyList(ValueKind[tuple[str, ...]]):
    """Public keys in PEM."""

    label: str = translatable("list of texts")
    limits: str = translatable("1 to %(most)s keys", most=MAX_PEM_KEYS)

    def read(self, value: Any, place: SettingPath) -> tuple[str, ...]:
        is_list = isinstance(value, list | tuple) and 1 <= len(value) <= MAX_PEM_KEYS
        if not is_list or not all(isinstance(item, str) for item in value):
            raise SettingsInvalid(
                place, translatable("This must be a list of 1 to %(most)s texts.", most=MAX_PEM_KEYS)
            )
        return tuple(value)

    def to_schema(self) -> JsonSchema:
        return {"type": "array", "minItems": 1, "maxItems": MAX_PEM_KEYS, "items": {"type": "string"}}


@dataclass(frozen=True)
class KeySetUrl(ValueKind[str]):
    """The address of a key set."""

    label: str = translatable("URL")
    limits: str = translatable("`https`, or `http` to this computer; at most 500 characters")

    def read(self, value: Any, place: SettingPath) -> str:
        if not isinstance(value, str) or len(value) > 500 or not re.fullmatch(r"[!-~]+", value):
            raise SettingsInvalid(place, "This must be a URL of at most 500 characters.")
        try:
            parts = urlsplit(value)
            host = parts.hostname
        except ValueError:
            raise SettingsInvalid(place, "This must be a URL.") from None
        is_local = parts.scheme == "http" and host in _LOCAL_HOSTS
        if (
            not host
            or not (parts.scheme == "https" or is_local)
            or "@" in value
            or "?" in value
            or "#" in value
        ):
            raise SettingsInvalid(place, "This must be an https:// address without query and credentials.")
        return value

    def to_schema(self) -> JsonSchema:
        return {"type": "string", "format": "uri", "maxLength": 500}


@dataclass(frozen=True, slots=True)
class JwtRule:
    """Settings of a token: its verification and its place in the request.

    `header` is the name of the header in lower case; None if the body is the token or contains it. If `is_detached`,
    the token signs the body and has no claims. `field` has the names that lead to the token in a JSON body; empty if
    the body is the token.
    """

    algorithm: str
    header: str | None
    public_keys: tuple[PublicKey, ...]
    jwks_url: str | None
    issuer: str | None
    audience: str | None
    token_type: str | None
    needs_expiry: bool
    leeway: int
    digest_claim: str | None
    digest_encoding: str
    id_claim: str | None
    has_base64_secret: bool
    is_detached: bool
    field: tuple[str, ...] = ()

    @property
    def is_symmetric(self) -> bool:
        return self.algorithm in SYMMETRIC

    def decode_secret(self, secret: str) -> bytes:
        """Return the HMAC key that a secret encodes; b"" if it is not the configured base64."""
        return (
            decode_base64(secret.removeprefix(BASE64_SECRET_PREFIX))
            if self.has_base64_secret
            else secret.encode()
        )


_ALGORITHM = required(
    "algorithm",
    Choice((*SYMMETRIC, *ASYMMETRIC)),
    "The only algorithm that is accepted, whatever a token says.",
    example="RS256",
)
_HEADER = optional(
    "header",
    HEADER_NAME,
    "The header that holds the token, alone or after `Bearer`. Without `header` and `field` the body is the token, and "
    "its claims are the webhook.",
    example="Authorization",
    is_nullable=False,
)
_FIELD = optional(
    "field",
    _BODY_PATH,
    "The field of a JSON body that holds the token, as with Hanko (`token`), Sign in with Apple (`payload`) and "
    "blocking functions of Google Identity Platform (`data.jwt`). The claims of the token are the webhook; everything "
    "else in the body is not signed, and is neither read nor stored.",
    example="data.jwt",
    is_nullable=False,
)
_DETACHED = defaulted(
    "detached",
    Boolean(),
    False,
    "The token in the header signs the body but does not contain it: its middle part is empty (RFC 7515, "
    "appendix F; also unencoded, RFC 7797). It has no claims.",
    example=True,
)
_PUBLIC_KEYS = optional(
    "public_keys",
    PublicKeyList(),
    "The sender's public keys in PEM.",
    example=["-----BEGIN PUBLIC KEY-----\n…\n-----END PUBLIC KEY-----"],
    is_nullable=False,
)
_JWKS_URL = optional(
    "jwks_url",
    KeySetUrl(),
    "Where the sender publishes its keys (JWKS). A worker fetches them; webhooks are refused until it has.",
    example="https://id.example.com/realms/main/protocol/openid-connect/certs",
    is_nullable=False,
)
_ISSUER = optional(
    "issuer",
    _WORD,
    "The required claim `iss`.",
    example="https://id.example.com/realms/main",
    is_nullable=False,
)
_AUDIENCE = optional(
    "audience",
    _WORD,
    "The audience that the claim `aud` must be or contain.",
    example="https://hub.example.com",
    is_nullable=False,
)
_TYPE = optional(
    "type",
    _WORD,
    "The required header `typ` of the token. Case does not matter.",
    example="secevent+jwt",
    is_nullable=False,
)
_NEEDS_EXPIRY = defaulted(
    "needs_expiry",
    Boolean(),
    False,
    "A token without `exp` is refused. `exp` and `nbf` are always checked if a token has them.",
    example=True,
)
_LEEWAY = defaulted(
    "leeway",
    WholeNumber(0, 300),
    60,
    "The number of seconds by which the sender's clock may differ from the hub's.",
    example=10,
)
_DIGEST_CLAIM = optional(
    "digest_claim",
    _CLAIM,
    "The claim that holds the SHA-256 of the body. Without it, a token in a header proves the sender "
    "but not the contents.",
    example="request_body_sha256",
    is_nullable=False,
)
_DIGEST_ENCODING = defaulted(
    "digest_encoding",
    Choice(("hex", "base64", "base64url")),
    "hex",
    "How that claim is encoded.",
    example="base64",
)
_ID_CLAIM = optional(
    "id_claim",
    _CLAIM,
    "The claim that holds the id of the event: a second webhook with the same id is a duplicate.",
    example="jti",
    is_nullable=False,
)
_SECRET = defaulted(
    "secret",
    Choice(("text", "base64")),
    "text",
    "How the secret of `HS…` is encoded: as plain text, or in base64.",
    example="base64",
)
SETTINGS = (
    *(_ALGORITHM, _HEADER, _FIELD, _DETACHED, _PUBLIC_KEYS, _JWKS_URL, _SECRET, _ISSUER, _AUDIENCE, _TYPE),
    *(_NEEDS_EXPIRY, _LEEWAY, _DIGEST_CLAIM, _DIGEST_ENCODING, _ID_CLAIM),
)
EXAMPLE: Mapping[str, Any] = {
    "algorithm": "RS256",
    "header": "Authorization",
    "jwks_url": "https://id.example.com/realms/main/protocol/openid-connect/certs",
    "issuer": "https://id.example.com/realms/main",
    "digest_claim": "request_body_sha256",
}


def build_rule(values: SettingValues) -> JwtRule:
    """Return the rule that the settings mean. Raises SettingsInvalid if they do not fit together."""
    algorithm, pems, url = values[_ALGORITHM], values[_PUBLIC_KEYS], values[_JWKS_URL]
    if algorithm in SYMMETRIC:
        for setting in (_PUBLIC_KEYS, _JWKS_URL):
            if values.is_given(setting):
                values.reject(
                    setting,
                    translatable(
                        "%(algorithm)s is verified with the secret of the source, never with a public key.",
                        algorithm=algorithm,
                    ),
                )
    elif (pems is None) == (url is None):
        values.reject(
            _PUBLIC_KEYS,
            translatable("%(algorithm)s needs either public_keys or jwks_url.", algorithm=algorithm),
        )
    if values[_HEADER] is None and values[_DIGEST_CLAIM] is not None:
        values.reject(_DIGEST_CLAIM, "The token is in the body: no claim can hold its digest.")
    if values[_HEADER] is not None and values[_FIELD] is not None:
        values.reject(_FIELD, "The token is in a header or in a field of the body, not in both.")
    if values[_DETACHED]:
        if values[_HEADER] is None:
            values.reject(_HEADER, "This field is required, because the token is detached.")
        for claim in (_ISSUER, _AUDIENCE, _NEEDS_EXPIRY, _DIGEST_CLAIM, _ID_CLAIM):
            if values.is_given(claim):
                values.reject(claim, "A detached token has no claims.")
    keys = []
    for index, pem in enumerate(pems or ()):
        try:
            keys.append(load_pem(pem, algorithm))
        except ValueError as error:
            raise SettingsInvalid((*values.place, _PUBLIC_KEYS.name, index), error_sentence(error)) from None
    header = values[_HEADER]
    return JwtRule(
        algorithm,
        None if header is None else header.lower(),
        tuple(keys),
        url,
        values[_ISSUER],
        values[_AUDIENCE],
        values[_TYPE],
        values[_NEEDS_EXPIRY],
        values[_LEEWAY],
        values[_DIGEST_CLAIM],
        values[_DIGEST_ENCODING],
        values[_ID_CLAIM],
        values[_SECRET] == "base64",
        values[_DETACHED],
        tuple((values[_FIELD] or "").split(".")) if values[_FIELD] else (),
    )


JWT = Object(SETTINGS, build_rule)
