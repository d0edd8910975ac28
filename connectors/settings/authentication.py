"""Settings of the authentication of a connection: one of several schemes. Pure."""

from collections.abc import Mapping
from typing import Any

from config_schema.kinds import Choice
from config_schema.objects import VariantObject
from config_schema.settings import Setting
from connectors.http.urls import BaseUrl
from connectors.settings.credentials import CERTIFICATE_CREDENTIALS, CREDENTIALS
from connectors.settings.schemes.base import Authentication, SecretAuthentication
from connectors.settings.schemes.fixed_secrets import (
    BasicAuthentication,
    BearerAuthentication,
    HeaderAuthentication,
    NoAuthentication,
    ParameterAuthentication,
)
from connectors.settings.schemes.oauth import ClientCredentials, JwtBearer, RefreshToken
from connectors.settings.schemes.session import SessionAuthentication
from connectors.settings.schemes.signatures import OAuth1Authentication, SignedTokenAuthentication

_CLASSES: Mapping[str, type[Authentication]] = {
    cls.scheme: cls
    for cls in (
        NoAuthentication,
        BasicAuthentication,
        BearerAuthentication,
        HeaderAuthentication,
        ParameterAuthentication,
        OAuth1Authentication,
        ClientCredentials,
        RefreshToken,
        JwtBearer,
        SessionAuthentication,
        SignedTokenAuthentication,
    )
}
# The credentials of each scheme. A scheme may need fewer of them: see `credential_names`.
SCHEMES: Mapping[str, tuple[str, ...]] = {
    name: (
        *cls.credentials,
        *(("second_value",) if issubclass(cls, SecretAuthentication) else ()),
        *CERTIFICATE_CREDENTIALS,
    )
    for name, cls in _CLASSES.items()
}
AUTHENTICATION: VariantObject[Authentication] = VariantObject(
    Setting(
        name="scheme",
        kind=Choice(tuple(_CLASSES)),
        meaning="How requests are authenticated.",
        default="none",
        example="bearer",
    ),
    {name: cls.variant(cls.meaning, {"scheme": name, **cls.example}) for name, cls in _CLASSES.items()},
    hints=dict.fromkeys(
        CREDENTIALS,
        "This is a credential. Enter it in its own field, where it is stored encrypted.",
    ),
)


def credential_names(document: Any) -> tuple[str, ...]:
    """Return the names of the credentials that authentication settings need; none if they are not valid."""
    scheme = _CLASSES.get(str(document.get("scheme", "none"))) if isinstance(document, Mapping) else None
    return () if scheme is None else scheme.list_credentials(document)


def parse_authentication(document: Any, base: BaseUrl) -> Authentication:
    """Parse `{"scheme": …}` for a connection with this base URL. Raises SettingsInvalid."""
    scheme = AUTHENTICATION.read(document, ("authentication",))
    scheme.check_addresses(base)
    return scheme
