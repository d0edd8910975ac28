"""Settings of tokens that the hub signs itself (RFC 7519). Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import AnyValue, Choice, JsonSchema, Text, ValueKind, WholeNumber
from config_schema.objects import MapOf
from config_schema.settings import SettingValues, defaulted, optional
from config_schema.translatable import error_sentence, translatable
from sync.connectors.settings.setting_kinds import HeaderName
from sync.connectors.values.header_template import HeaderTemplate, TemplateError, template_pattern

ASYMMETRIC = ("RS256", "PS256", "ES256", "EdDSA")
ALGORITHMS = ("HS256", *ASYMMETRIC)
MAX_CLAIMS = 20
MAX_LIFETIME_SECONDS = 3600
MAX_TEMPLATE_LENGTH = 300
# The hub sets these claims itself.
_OWN_CLAIMS = frozenset({"exp", "iat", "jti", "nbf"})
_OWN_ASSERTION_CLAIMS = _OWN_CLAIMS | {"iss"}
_OWN_CLIENT_CLAIMS = _OWN_ASSERTION_CLAIMS | {"sub", "aud"}


def _claim_pattern(own: frozenset[str]) -> re.Pattern[str]:
    return re.compile(rf"(?!(?:{'|'.join(sorted(own))})$)[\x21-\x7e]{{1,100}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SignedTokenSettings:
    """Settings of a signed token.

    `claims` are the claims in addition to `iat`, `exp` and `jti`. `encoding` is the encoding of the shared secret of
    HS256.
    """

    algorithm: str
    key_id: str | None
    claims: Mapping[str, Any]
    lifetime_seconds: int
    encoding: str = "text"


@dataclass(frozen=True)
class Template(ValueKind[HeaderTemplate]):
    """The value of a header, with placeholders: `{token}`, and the others that are named."""

    others: tuple[str, ...] = ()
    # Settings may add further placeholders, which their builder checks.
    has_more: bool = False
    label: str = translatable("text with placeholders")

    @property
    def limits(self) -> str:  # type: ignore[override]
        return translatable(
            "printable ASCII, at most %(most)s characters; contains `{token}`", most=MAX_TEMPLATE_LENGTH
        )

    def read(self, value: Any, place: SettingPath) -> HeaderTemplate:
        text = Text().read(value, place)
        if len(text) > MAX_TEMPLATE_LENGTH or not text.isascii() or not text.isprintable():
            raise SettingsInvalid(place, translatable("This must be %(limits)s.", limits=self.limits))
        try:
            template = HeaderTemplate(text)
        except TemplateError as error:
            raise SettingsInvalid(place, error_sentence(error)) from None
        if "token" not in template.names:
            raise SettingsInvalid(place, "This must contain {token}.")
        unknown = template.names - {"token", *self.others}
        if unknown and not self.has_more:
            raise SettingsInvalid(
                place, translatable("Unknown placeholder: {%(placeholder)s}.", placeholder=min(unknown))
            )
        return template

    def to_schema(self) -> JsonSchema:
        names = ("[a-z][a-z_]*",) if self.has_more else ("token", *self.others)
        return {
            "type": "string",
            "maxLength": MAX_TEMPLATE_LENGTH,
            "pattern": template_pattern(names, "token"),
        }


ALGORITHM = defaulted(
    "algorithm",
    Choice(ALGORITHMS),
    "HS256",
    "How tokens are signed: `HS256` with a shared secret of at least 32 bytes, the others with a private key in PEM.",
    example="ES256",
)
ASYMMETRIC_ALGORITHM = defaulted(
    "algorithm",
    Choice(ASYMMETRIC),
    "RS256",
    "With `private_key_jwt`: how the assertion is signed. The private key, in PEM, must match it.",
    example="ES256",
)
KEY_ID = optional(
    "key_id", Text(), "The id of the key (`kid`), if the system knows several.", example="hub-2026"
)
LIFETIME = defaulted(
    "lifetime",
    WholeNumber(5, MAX_LIFETIME_SECONDS),
    60,
    "For how many seconds a token is valid.",
    example=60,
)
CLAIMS = defaulted(
    "claims",
    MapOf(
        AnyValue(),
        "CLAIM",
        0,
        MAX_CLAIMS,
        _claim_pattern(_OWN_CLAIMS),
        translatable("This is not the name of a claim that can be set. The hub sets iat, exp and jti."),
        noun=translatable("claims"),
    ),
    {},
    "The claims of the token, in addition to `iat`, `exp` and `jti`, which the hub sets.",
    example={"iss": "hub", "aud": "https://shop.example.com"},
)
ENCODING = defaulted(
    "encoding",
    Choice(("text", "base64", "hex")),
    "text",
    "How the shared secret of `HS256` is encoded.",
    example="hex",
)
TOKEN_HEADER = defaulted(
    "header",
    HeaderName("authorization"),
    "Authorization",
    "The header that holds the token.",
    example="Authorization",
)
TOKEN_TEMPLATE = defaulted(
    "template",
    Template(),
    "Bearer {token}",
    "The value of that header. `{token}` stands for the token, `{base64:…}` for the base64 encoding of "
    "its contents.",
    example="Ghost {token}",
)

TOKEN_SETTINGS = (ALGORITHM, ENCODING, KEY_ID, CLAIMS, LIFETIME, TOKEN_HEADER, TOKEN_TEMPLATE)


def read_signed_token(values: SettingValues) -> SignedTokenSettings:
    """Return the settings of the token that the hub signs for each request."""
    if values[ENCODING] != "text" and values[ALGORITHM] != "HS256":
        values.reject(ENCODING, "Only the shared secret of HS256 has an encoding.")
    return SignedTokenSettings(
        values[ALGORITHM], values[KEY_ID], values[CLAIMS], values[LIFETIME], values[ENCODING]
    )


ASSERTION_AUDIENCE = optional(
    "assertion_audience",
    Text(),
    "With `private_key_jwt`: the audience (`aud`) of the assertion. Without it: the address of the token endpoint.",
    example="https://login.example.com",
)

ASSERTION_ALGORITHM = defaulted(
    "algorithm",
    Choice(ASYMMETRIC),
    "RS256",
    "How the assertion is signed. The private key, in PEM, must match it.",
    example="ES256",
)
ASSERTION_CLAIMS = defaulted(
    "claims",
    MapOf(
        AnyValue(),
        "CLAIM",
        0,
        MAX_CLAIMS,
        _claim_pattern(_OWN_ASSERTION_CLAIMS),
        translatable("This is not the name of a claim that can be set. The hub sets iss, iat, exp and jti."),
        noun=translatable("claims"),
    ),
    {},
    "The claims of the assertion, in addition to `iss`, `iat`, `exp` and `jti`, which the hub sets. Without "
    "`aud`: the address of the token endpoint.",
    example={"sub": "admin@example.com"},
)
CLIENT_CLAIMS = defaulted(
    "claims",
    MapOf(
        AnyValue(),
        "CLAIM",
        0,
        MAX_CLAIMS,
        _claim_pattern(_OWN_CLIENT_CLAIMS),
        translatable(
            "This is not the name of a claim that can be set. The hub sets iss, sub, aud, iat, exp and jti."
        ),
        noun=translatable("claims"),
    ),
    {},
    "With `private_key_jwt`: additional claims of the assertion. The hub sets `iss`, `sub`, `aud`, `iat`, "
    "`exp` and `jti`.",
    example={"scope": "rest_webservices"},
)
