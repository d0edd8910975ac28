"""The scheme `jwt`: a JSON Web Signature in a header, in a field of the body, or as the body. Its settings. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from config_schema.declared import Declared, setting
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import Boolean, Choice, ConvertedText, JsonSchema, Text, ValueKind, WholeNumber
from config_schema.objects import ListOf
from config_schema.rules import CodeRule, Fault, Is, NamedValues, Not, OneOf, Requires, Stated
from webhooks.protocol.hmac_rule import HEADER_NAME, decode_secret
from webhooks.protocol.tokens.public_keys import ASYMMETRIC, PublicKey, load_pem

# The least bytes of a key (RFC 7518, section 3.2).
SYMMETRIC: Mapping[str, int] = {"HS256": 32, "HS384": 48, "HS512": 64}
MAX_PEM_KEYS = 4
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_CLAIM = Text(
    re.compile(r"[!-~]{1,128}"),
    "1 to 128 printable ASCII characters, no space",
    "This must be the name of a claim: 1 to 128 printable characters.",
)
_WORD = Text(
    re.compile(r"[!-~]{1,512}"),
    "1 to 512 printable ASCII characters, no space",
    "This must be 1 to 512 printable characters, without a space.",
)
_NAME = r"[A-Za-z_@$][A-Za-z0-9_@$-]{0,63}"
_BODY_PATH = ConvertedText(
    re.compile(rf"{_NAME}(?:\.{_NAME}){{0,7}}"),
    "field names separated by dots, at most 8 levels",
    "This must be at most 8 field names separated by dots.",
    convert=lambda path: tuple(path.split(".")),
    write=".".join,
)


_PUBLIC_KEY = Text(
    re.compile(r"[\s\S]*-----BEGIN [A-Z ]*PUBLIC KEY-----[\s\S]*"),
    sentence="This must be a public key in PEM, from BEGIN PUBLIC KEY on.",
)


@dataclass(frozen=True)
class KeySetUrl(ValueKind[str]):
    """The address of a key set."""

    label: str = "URL"
    limits: str = "`https`, or `http` to this computer; at most 500 characters"

    def read(self, value: Any, place: SettingPath) -> str:
        if not isinstance(value, str) or len(value) > 500 or not re.fullmatch(r"[!-~]+", value):
            raise SettingsInvalid(place, "This must be a URL of at most 500 characters.")
        try:
            parts = urlsplit(value)
            host = parts.hostname
        except ValueError:
            raise SettingsInvalid(place, "This must be a URL.") from None
        is_local = parts.scheme == "http" and host in _LOCAL_HOSTS
        if not host or not (parts.scheme == "https" or is_local) or re.search("[?#@]", value):
            raise SettingsInvalid(place, "This must be an https:// address without query and credentials.")
        return value

    def to_schema(self) -> JsonSchema:
        pattern = r"^[hH][tT][tT][pP][sS]?://[!-\"$->A-~]+$"
        return {"type": "string", "format": "uri", "maxLength": 500, "pattern": pattern}


def _find_unusable_key(values: NamedValues) -> Fault | None:
    for index, pem in enumerate(values["public_keys"]):
        try:
            load_pem(pem, values["algorithm"])
        except ValueError as error:
            return ("public_keys", index), str(error)
    return None


class JwtRule(Declared):
    """Settings of a token: its verification and its place in the request.

    `header` is the name of the header in lower case; None if the body is the token or contains it. `field` has the
    names that lead to the token in a JSON body. If `is_detached`, the token signs the body and has no claims.
    """

    algorithm: str = setting(
        Choice((*SYMMETRIC, *ASYMMETRIC)),
        "The only algorithm that is accepted, whatever a token says.",
        example="RS256",
    )
    header: str | None = setting(
        HEADER_NAME,
        "The header that holds the token, alone or after `Bearer`. Without `header` and `field` the body is the token, "
        "and its claims are the webhook.",
        default=None,
        example="Authorization",
    )
    field: tuple[str, ...] = setting(
        _BODY_PATH,
        "The field of a JSON body that holds the token, as with Hanko (`token`), Sign in with Apple (`payload`) and "
        "blocking functions of Google Identity Platform (`data.jwt`). The claims of the token are the webhook; "
        "everything else in the body is not signed, and is neither read nor stored.",
        default=None,
        absent=(),
        example="data.jwt",
    )
    is_detached: bool = setting(
        Boolean(),
        "The token in the header signs the body but does not contain it: its middle part is empty (RFC 7515, "
        "appendix F; also unencoded, RFC 7797). It has no claims.",
        name="detached",
        default=False,
        example=True,
    )
    public_keys: tuple[str, ...] = setting(
        ListOf(_PUBLIC_KEY, MAX_PEM_KEYS, label="list of texts", noun="texts"),
        "The sender's public keys in PEM.",
        default=None,
        absent=(),
        example=["-----BEGIN PUBLIC KEY-----\n…\n-----END PUBLIC KEY-----"],
    )
    jwks_url: str | None = setting(
        KeySetUrl(),
        "Where the sender publishes its keys (JWKS). A worker fetches them; webhooks are refused until it has.",
        default=None,
        example="https://id.example.com/realms/main/protocol/openid-connect/certs",
    )
    secret: str = setting(
        Choice(("text", "base64")),
        "How the secret of `HS…` is encoded: as plain text, or in base64.",
        default="text",
        example="base64",
    )
    issuer: str | None = setting(
        _WORD,
        "The required claim `iss`.",
        default=None,
        example="https://id.example.com/realms/main",
    )
    audience: str | None = setting(
        _WORD,
        "The audience that the claim `aud` must be or contain.",
        default=None,
        example="https://hub.example.com",
    )
    token_type: str | None = setting(
        _WORD,
        "The required header `typ` of the token. Case does not matter.",
        name="type",
        default=None,
        example="secevent+jwt",
    )
    needs_expiry: bool = setting(
        Boolean(),
        "A token without `exp` is refused. `exp` and `nbf` are always checked if a token has them.",
        default=False,
        example=True,
    )
    leeway: int = setting(
        WholeNumber(0, 300),
        "The number of seconds by which the sender's clock may differ from the hub's.",
        default=60,
        example=10,
    )
    digest_claim: str | None = setting(
        _CLAIM,
        "The claim that holds the SHA-256 of the body. Without it, a token in a header proves the sender "
        "but not the contents.",
        default=None,
        example="request_body_sha256",
    )
    digest_encoding: str = setting(
        Choice(("hex", "base64", "base64url")),
        "How that claim is encoded.",
        default="hex",
        example="base64",
    )
    id_claim: str | None = setting(
        _CLAIM,
        "The claim that holds the id of the event: a second webhook with the same id is a duplicate.",
        default=None,
        example="jti",
    )

    rules = (
        *(
            Requires(
                sentence="A token of `HS…` is verified with the secret of the source, never with a public key.",
                when=Is("algorithm", *SYMMETRIC),
                then=Not(Stated(name)),
                at=name,
            )
            for name in ("public_keys", "jwks_url")
        ),
        Requires(
            sentence="Other algorithms than `HS…` need either `public_keys` or `jwks_url`.",
            when=Is("algorithm", *ASYMMETRIC),
            then=OneOf(("public_keys", "jwks_url")),
            at="public_keys",
        ),
        Requires(
            sentence="`digest_claim` needs `header`: no claim can hold the digest of its own token.",
            when=Stated("digest_claim"),
            then=Stated("header"),
            at="digest_claim",
        ),
        Requires(
            sentence="The token is in a header or in a field of the body, not in both.",
            when=Stated("field"),
            then=Not(Stated("header")),
            at="field",
        ),
        Requires(
            sentence="A detached token needs `header`.",
            when=Is("detached", True),
            then=Stated("header"),
            at="header",
        ),
        *(
            Requires(
                sentence="A detached token has no claims.",
                when=Is("detached", True),
                then=Not(Stated(name)),
                at=name,
            )
            for name in ("issuer", "audience", "needs_expiry", "digest_claim", "id_claim")
        ),
        CodeRule(
            sentence="Each public key is one for the algorithm.",
            find_fault=_find_unusable_key,
        ),
    )

    @property
    def is_symmetric(self) -> bool:
        return self.algorithm in SYMMETRIC

    @cached_property
    def loaded_keys(self) -> tuple[PublicKey, ...]:
        """The keys in `public_keys`."""
        return tuple(load_pem(pem, self.algorithm) for pem in self.public_keys)

    def decode_secret(self, secret: str) -> bytes:
        """Return the HMAC key that a secret encodes; b"" if it is not the configured base64."""
        return decode_secret(secret, self.secret)
