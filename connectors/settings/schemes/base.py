"""Settings that several schemes of authentication have. Pure."""

from collections.abc import Mapping
from typing import Any, ClassVar

from config_schema.declared import Declared, setting
from config_schema.errors import SettingsInvalid
from config_schema.kinds import Boolean
from config_schema.rules import CodeRule, Fault, NamedValues, Rule
from connectors.http.urls import BaseUrl
from connectors.settings.credentials import (
    CERTIFICATE_CREDENTIALS,
    Credentials,
    SecondSecret,
    SecretPlace,
)
from connectors.settings.csrf import CsrfSettings
from connectors.settings.setting_kinds import HeaderName
from connectors.settings.signed_token import Template
from connectors.values.header_template import HeaderTemplate


class Authentication(Declared):
    """Settings of a scheme: what all schemes have. `credentials` are the names of those that a scheme may need.
    `meaning` and `example`, the other settings of an example, explain it.
    """

    scheme: ClassVar[str]
    meaning: ClassVar[str]
    example: ClassVar[Mapping[str, Any]] = {}
    credentials: ClassVar[tuple[str, ...]] = ()

    csrf: CsrfSettings | None = setting(
        CsrfSettings.kind,
        "A CSRF token that the system requires with each write (SAP OData, Jenkins, Drupal). The hub fetches it "
        "with the same credentials, and sends it with the cookies of that response until it is refused.",
        default=None,
        example={"path": "/odata/v2/"},
    )
    client_certificate: bool = setting(
        Boolean(),
        "True if the hub presents a client certificate in TLS (mutual TLS, RFC 8705): to the origin of the base URL "
        "and, with OAuth 2, to that of the token endpoint. Both must begin with `https`.",
        default=False,
        example=True,
    )

    @classmethod
    def needed_credentials(cls, document: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the credentials of the scheme that its settings ask for."""
        return cls.credentials

    @classmethod
    def list_credentials(cls, document: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of all credentials that settings of the scheme ask for, if they are valid or not."""
        names = cls.needed_credentials(document)
        if names and document.get("second"):
            names = (*names, "second_value")
        return (*names, *CERTIFICATE_CREDENTIALS) if document.get("client_certificate") is True else names

    @property
    def credential_names(self) -> tuple[str, ...]:
        """Return the names of all credentials that these settings need."""
        return self.list_credentials(self.to_json())

    @property
    def secret_header(self) -> str:
        """Return the header that holds the secret."""
        return "Authorization"

    @property
    def secret_places(self) -> tuple[SecretPlace, ...]:
        """Return the places of secrets outside that header."""
        return ()

    def fixed_headers(self, held: Credentials) -> dict[str, str]:
        """Return the headers that are the same in each request."""
        return {}

    def endpoints(self, base: BaseUrl) -> tuple[BaseUrl, ...]:
        """Return the addresses that get credentials, of a connection with this base URL."""
        return (base,)

    def check_addresses(self, base: BaseUrl) -> None:
        """Raise SettingsInvalid if the settings do not fit the base URL of their connection."""
        if self.client_certificate and any(url.scheme != "https" for url in self.endpoints(base)):
            raise SettingsInvalid(
                ("authentication", "client_certificate"),
                "A client certificate needs addresses that begin with https://.",
            )


def _find_shared_place(values: NamedValues) -> Fault | None:
    """Find a secret that is sent in the same header or parameter as another."""
    given = values.values
    header = "cookie" if given.get("cookie") else given.get("header", "Authorization").lower()
    taken, headers = {("header", header), ("query", given.get("parameter", "").lower())}, {header}
    if (second := given["second"]) is not None:
        name = second.place.name.lower()
        if (second.place.kind, name) in taken:
            return "second", "The first secret is sent in the same place."
        headers |= {name} if second.header else set()
    if given["csrf"] is not None and given["csrf"].header.lower() in headers:
        return "csrf", "Another secret is sent in the same header."
    return None


class SecretAuthentication(Authentication):
    """Settings of a scheme that sends a secret, and may send a second one."""

    second: SecondSecret | None = setting(
        SecondSecret.kind,
        "A second secret that every request to the origin of the base URL also sends, including a log-in: the "
        "key of an application, or of a gateway in front of the system.",
        default=None,
        example={"header": "App-Token"},
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        CodeRule(
            sentence="The secrets and the CSRF token are sent in different headers and parameters.",
            find_fault=_find_shared_place,
        ),
    )

    @property
    def secret_places(self) -> tuple[SecretPlace, ...]:
        return () if self.second is None else (self.second.place,)


class TokenAuthentication(SecretAuthentication):
    """Settings of a scheme that sends a token in a header."""

    header: str = setting(
        HeaderName("authorization"),
        "The header that holds the token.",
        default="Authorization",
        example="Authorization",
    )
    template: HeaderTemplate = setting(
        Template(),
        "The value of that header. `{token}` stands for the token, `{base64:…}` for the base64 encoding of "
        "its contents.",
        default="Bearer {token}",
        example="Ghost {token}",
    )

    @property
    def secret_header(self) -> str:
        return self.header
