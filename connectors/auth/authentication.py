"""Authenticate the requests of a connection. No repr, message or stored row shows a secret."""

from collections.abc import Mapping
from typing import Protocol

from config_schema.errors import SettingsInvalid
from connectors.auth.oauth_tokens import OAuthAuthenticator
from connectors.auth.session_log_in import SessionAuthenticator
from connectors.auth.signed_tokens import SignedTokenHeaders
from connectors.contracts import errors
from connectors.contracts.permissions import RenewedCredentials
from connectors.exchange import TokenSender
from connectors.http.urls import BaseUrl
from connectors.settings.credentials import Credentials
from connectors.settings.schemes.base import Authentication
from connectors.settings.schemes.oauth import OAuth
from connectors.settings.schemes.session import SessionAuthentication
from connectors.settings.schemes.signatures import SignedTokenAuthentication
from connectors.settings.setting_kinds import is_header_value
from connectors.values.secret_forms import SecretSet


class Authenticator(Protocol):
    """Supplies the secret headers of a request. `sender` sends a token request where headers have to be
    fetched.
    """

    def get_headers(self, sender: TokenSender) -> Mapping[str, str]:
        """Return the headers to send now."""

    def renew_headers(self, sender: TokenSender, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return new headers after the system refused these; None if the credentials allow no others."""

    def renew_credentials(self, sender: TokenSender) -> RenewedCredentials | None:
        """Fetch new headers and describe them; None if only a real request can verify the credentials."""


def make_authenticator(
    scheme: Authentication,
    credentials: Mapping[str, str],
    base: BaseUrl,
    side: errors.Side,
    secrets: SecretSet,
) -> Authenticator:
    """Make the authenticator of a connection. It adds the tokens that it fetches to `secrets`. Raises
    SettingsInvalid if a credential is missing or cannot be sent.
    """
    held = Credentials(credentials)
    for name in scheme.credential_names:
        if name not in held or not held[name]:
            raise SettingsInvalid(("credentials", name), "This credential is missing.")
    if isinstance(scheme, OAuth):
        return OAuthAuthenticator(scheme, held, base, side, secrets)
    if isinstance(scheme, SessionAuthentication):
        return SessionAuthenticator(scheme, held, base, side, secrets)
    if isinstance(scheme, SignedTokenAuthentication):
        return SignedTokenHeaders(scheme, held, secrets)
    headers = scheme.fixed_headers(held)
    if not all(is_header_value(value) for value in headers.values()):
        raise SettingsInvalid(("credentials",), "This credential contains characters that cannot be sent.")
    return FixedHeaders(headers)


class FixedHeaders:
    """Sends fixed headers: none, basic, bearer, or a header of the connection's settings."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def get_headers(self, sender: TokenSender) -> Mapping[str, str]:
        return self._headers

    def renew_headers(self, sender: TokenSender, refused: Mapping[str, str]) -> None:
        return None

    def renew_credentials(self, sender: TokenSender) -> None:
        return None
