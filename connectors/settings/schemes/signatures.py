"""Schemes that sign each request, or a token for it. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from config_schema.declared import nullable, setting
from config_schema.kinds import Boolean, Choice, Text
from config_schema.rules import Is, Requires
from connectors.settings.schemes.base import SecretAuthentication, TokenAuthentication
from connectors.settings.signed_token import ASYMMETRIC, SignedToken, claims_kind


class OAuth1Authentication(SecretAuthentication):
    scheme = "oauth1"
    meaning = (
        "Each request is signed (OAuth 1.0a, RFC 5849) with a consumer key and secret and a token and its secret, "
        "which a person creates in the system. The signature covers method, address, query and form fields, and has a "
        "time and a nonce for each request: the clocks of both systems must agree."
    )
    example = {"algorithm": "HMAC-SHA256", "realm": "1234567"}
    credentials = ("consumer_key", "consumer_secret", "token", "token_secret")

    algorithm: str = setting(
        Choice(("HMAC-SHA256", "HMAC-SHA512", "HMAC-SHA1")),
        "The signature method. `HMAC-SHA1`, the one that RFC 5849 describes, is for systems that know no other.",
        default="HMAC-SHA256",
        example="HMAC-SHA1",
    )
    realm: str | None = nullable(
        Text(
            re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]{1,128}", re.ASCII),
            "1 to 128 printable ASCII characters without quotation marks and backslashes",
            "This is not a realm.",
        ),
        "The realm that the header names, where the system wants one: the account id of NetSuite, such as "
        "`1234567_SB1`.",
        example="1234567_SB1",
    )
    consumer_only: bool = setting(
        Boolean(),
        "True if the system issues no token, so that the key and the secret of the consumer alone sign requests.",
        default=False,
        example=True,
    )

    @classmethod
    def needed_credentials(cls, document: Mapping[str, Any]) -> tuple[str, ...]:
        return cls.credentials[:2] if document.get("consumer_only") is True else cls.credentials


class SignedTokenAuthentication(SignedToken, TokenAuthentication):
    scheme = "jwt"
    meaning = "The hub signs a token for each request (RFC 7519)."
    example = {"algorithm": "ES256", "claims": {"iss": "hub"}, "lifetime": 60}
    credentials = ("signing_key",)

    algorithm: str = setting(
        Choice(("HS256", *ASYMMETRIC)),
        "How tokens are signed: `HS256` with a shared secret of at least 32 bytes, the others with a private key in "
        "PEM.",
        default="HS256",
        example="ES256",
    )
    encoding: str = setting(
        Choice(("text", "base64", "hex")),
        "How the shared secret of `HS256` is encoded.",
        default="text",
        example="hex",
    )
    claims: Mapping[str, Any] = setting(
        claims_kind(),
        "The claims of the token, in addition to `iat`, `exp` and `jti`, which the hub sets.",
        default={},
        example={"iss": "hub", "aud": "https://shop.example.com"},
    )

    rules = (
        *TokenAuthentication.rules,
        Requires(
            sentence="`encoding` other than `text` needs `HS256`.",
            when=Is("encoding", "base64", "hex"),
            then=Is("algorithm", "HS256"),
            at="encoding",
        ),
    )
