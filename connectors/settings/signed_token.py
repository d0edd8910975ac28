"""Settings of tokens that the hub signs itself (RFC 7519), and of the header that holds a token. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.declared import Declared, nullable, setting
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import AnyValue, Choice, JsonSchema, Text, ValueKind, WholeNumber
from config_schema.objects import MapOf
from connectors.values.header_template import HeaderTemplate, TemplateError, template_pattern

ASYMMETRIC = ("RS256", "PS256", "ES256", "EdDSA")
MAX_CLAIMS = 20
MAX_LIFETIME_SECONDS = 3600
MAX_TEMPLATE_LENGTH = 300


@dataclass(frozen=True)
class Template(ValueKind[HeaderTemplate]):
    """The value of a header, with placeholders: `{token}`, and the others that are named."""

    others: tuple[str, ...] = ()
    # Settings may add further placeholders, which their builder checks.
    has_more: bool = False
    label: str = "text with placeholders"

    @property
    def limits(self) -> str:  # type: ignore[override]
        return f"printable ASCII, at most {MAX_TEMPLATE_LENGTH} characters; contains `{{token}}`"

    def read(self, value: Any, place: SettingPath) -> HeaderTemplate:
        text = Text().read(value, place)
        if len(text) > MAX_TEMPLATE_LENGTH or not text.isascii() or not text.isprintable():
            raise SettingsInvalid(place, f"This must be {self.limits}.")
        try:
            template = HeaderTemplate(text)
        except TemplateError as error:
            raise SettingsInvalid(place, str(error)) from None
        if "token" not in template.names:
            raise SettingsInvalid(place, "This must contain {token}.")
        unknown = template.names - {"token", *self.others}
        if unknown and not self.has_more:
            raise SettingsInvalid(place, f"Unknown placeholder: {{{min(unknown)}}}.")
        return template

    def to_json(self, value: HeaderTemplate) -> str:
        return value.text

    def to_schema(self) -> JsonSchema:
        names = ("[a-z][a-z_]*",) if self.has_more else ("token", *self.others)
        return {
            "type": "string",
            "maxLength": MAX_TEMPLATE_LENGTH,
            "pattern": template_pattern(names, "token"),
        }


def claims_kind(*own: str) -> MapOf[Any]:
    """Return the kind of the claims of a token, besides its times and its id. `own`: those that the hub sets."""
    names = "|".join((*own, "iat", "exp", "jti", "nbf"))
    return MapOf(
        AnyValue(),
        "CLAIM",
        0,
        MAX_CLAIMS,
        re.compile(rf"(?!(?:{names})$)[\x21-\x7e]{{1,100}}", re.ASCII),
        f"This is not the name of a claim that can be set. The hub sets {', '.join((*own, 'iat', 'exp', 'jti'))}.",
        noun="claims",
    )


class SignedToken(Declared):
    """A token that the hub signs: the assertion of OAuth by RFC 7523, unless a subclass says otherwise."""

    algorithm: str = setting(
        Choice(ASYMMETRIC),
        "How the assertion is signed. The private key, in PEM, must match it.",
        default="RS256",
        example="ES256",
    )
    key_id: str | None = nullable(
        Text(), "The id of the key (`kid`), if the system knows several.", example="hub-2026"
    )
    claims: Mapping[str, Any] = setting(
        claims_kind("iss"),
        "The claims of the assertion, in addition to `iss`, `iat`, `exp` and `jti`, which the hub sets. Without "
        "`aud`: the address of the token endpoint.",
        default={},
        example={"sub": "admin@example.com"},
    )
    lifetime: int = setting(
        WholeNumber(5, MAX_LIFETIME_SECONDS), "For how many seconds a token is valid.", default=60, example=60
    )
