"""Credentials, and the places in requests where they are sent. Pure."""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from config_schema.declared import Declared, setting
from config_schema.kinds import Text
from config_schema.rules import exactly_one
from connectors.settings.setting_kinds import HeaderName


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret or name that an authentication needs. It is entered in a field of its own and stored encrypted."""

    meaning: str
    is_secret: bool = True


CREDENTIALS: Mapping[str, Credential] = {
    "username": Credential("The user name. It is not hidden in responses of the system.", is_secret=False),
    "password": Credential("The password."),
    "token": Credential("The token, without the word `Bearer`."),
    "value": Credential("The value of the header."),
    "parameter_value": Credential("The value of the parameter."),
    "client_id": Credential(
        "The id of the client. It is not hidden in responses of the system.", is_secret=False
    ),
    "client_secret": Credential("The secret of the client."),
    "refresh_token": Credential("The refresh token that a user of the system granted to the client."),
    "consumer_key": Credential(
        "The consumer key. It is not hidden in responses of the system.", is_secret=False
    ),
    "consumer_secret": Credential("The consumer secret."),
    "token_secret": Credential("The token secret."),
    "signing_key": Credential(
        "The key that signs tokens: a private key in PEM, with its line breaks, or a shared secret."
    ),
    "second_value": Credential("The second secret, if the authentication has `second`."),
    "client_certificate": Credential(
        "The client certificate in PEM, with its line breaks, followed by the certificates of its authorities, if "
        "the authentication has `client_certificate`. It is not hidden in responses of the system.",
        is_secret=False,
    ),
    "client_key": Credential(
        "The private key of the client certificate, in PEM, with its line breaks and not encrypted."
    ),
}

CERTIFICATE_CREDENTIALS = ("client_certificate", "client_key")
# Credentials of all schemes, which only a setting of this name asks for.
SETTING_OF_CREDENTIAL: Mapping[str, str] = {
    "second_value": "second",
    **dict.fromkeys(CERTIFICATE_CREDENTIALS, "client_certificate"),
}


class Credentials:
    """Secrets by name. Hidden from repr, str and format."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __repr__(self) -> str:
        return f"<Credentials {', '.join(sorted(self._values)) or 'none'}>"


def basic_authorization(username: str, password: str) -> str:
    """Return the value of an Authorization header by RFC 7617."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode("ascii")


PARAMETER_NAME = Text(
    re.compile(r"[A-Za-z0-9_.:\[\]-]{1,64}", re.ASCII),
    "1 to 64 letters, digits and characters of `_.:[]-`",
    "This is not the name of a parameter.",
)


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """Place of a secret in requests.

    `kind` is `header`, `query` or `body`. `credential` is the name of the credential that is sent there.
    """

    kind: str
    name: str
    credential: str


class SecondSecret(Declared):
    """Where requests send a second secret."""

    header: str | None = setting(HeaderName(), "The header that holds it.", default=None, example="App-Token")
    query: str | None = setting(
        PARAMETER_NAME, "The query parameter that holds it.", default=None, example="key"
    )

    rules = (exactly_one("header", "query"),)

    @property
    def place(self) -> SecretPlace:
        """Return the place of the secret."""
        kind = "query" if self.header is None else "header"
        return SecretPlace(kind, self.header or self.query or "", "second_value")
