"""Registry of the connectors, and the only way to make one."""

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, overload

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import ValueKind
from connectors.auth.authentication import make_authenticator
from connectors.auth.csrf_tokens import CsrfAuthenticator
from connectors.auth.oauth1_signatures import OAuth1Signer
from connectors.auth.oauth_tokens import OAuthAuthenticator
from connectors.auth.placed_secrets import place_credentials
from connectors.auth.session_log_in import SessionAuthenticator
from connectors.client.client_config import AttemptOptions, ClientConfig
from connectors.client.http_client import HttpClient
from connectors.contracts.errors import Side
from connectors.contracts.types import IdentityConnector, TargetConnector
from connectors.exchange import Recorder
from connectors.http.client_certificates import ClientCertificate, read_client_certificate
from connectors.http.urls import BaseUrl, parse_base_url
from connectors.identity import RestIdentityConnector
from connectors.settings import identity, target
from connectors.settings.authentication import parse_authentication
from connectors.settings.credentials import CERTIFICATE_CREDENTIALS, Credentials
from connectors.settings.schemes.base import Authentication
from connectors.settings.schemes.oauth import OAuth
from connectors.settings.schemes.session import SessionAuthentication
from connectors.settings.schemes.signatures import OAuth1Authentication
from connectors.settings.secret_values import list_secrets, refuse_plain_secrets
from connectors.settings.shared_settings import ConnectionOptions
from connectors.target import RestTargetConnector
from connectors.values.answer_meaning import Meaning
from connectors.values.fingerprint import fingerprint_json
from connectors.values.secret_forms import SecretSet, remember_secrets
from connectors.values.secret_scrubber import SecretScrubber

CONNECTORS: Mapping[str, str] = {
    "rest-identity": "Identity service with a REST API",
    "rest-target": "Target system with a REST API",
}
CONNECTOR_SIDES: Mapping[str, Side] = {"rest-identity": "identity", "rest-target": "target"}

DEFAULT_DEADLINE_SECONDS = 10.0
DEFAULT_BYTE_CAP = 1_048_576
MAX_CACHED = 256


def validate_connection(
    connector: str, settings: Mapping[str, Any], authentication: Mapping[str, Any], base_url: str
) -> None:
    """Validate a connection before it is saved. Raises SettingsInvalid with a pointer that begins with the
    name of an argument.
    """
    if connector not in CONNECTORS:
        raise SettingsInvalid(("connector",), f"This must be one of: {', '.join(CONNECTORS)}.")
    _refuse_unsendable_texts({"settings": settings, "authentication": authentication})
    parse_authentication(authentication, read_base_url(base_url))
    try:
        refuse_plain_secrets(authentication)
    except SettingsInvalid as invalid:
        raise SettingsInvalid(("authentication", *invalid.place), invalid.sentence) from None
    try:
        # First, because the reader refuses some of these headers for another reason.
        refuse_plain_secrets(settings)
        SETTINGS_KINDS[connector].read(settings, ())
    except SettingsInvalid as invalid:
        raise SettingsInvalid(("settings", *invalid.place), invalid.sentence) from None


def _refuse_unsendable_texts(document: Any) -> None:
    """Raise SettingsInvalid for a text that is not Unicode, which no request sends and no database stores."""
    waiting: list[tuple[SettingPath, Any]] = [((), document)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, Mapping):
            for name in value:
                _require_sendable(name, place)
            waiting += [((*place, name), inner) for name, inner in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [((*place, index), inner) for index, inner in enumerate(value)]
        else:
            _require_sendable(value, place)


def _require_sendable(value: Any, place: SettingPath) -> None:
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= one <= "\udfff" for one in value)):
        raise SettingsInvalid(place, "This text contains U+0000 or half of a surrogate pair.")


def id_characters(connector: str, settings: Mapping[str, Any]) -> frozenset[str]:
    """Return the extra characters that ids may contain; empty if the settings cannot be read."""
    try:
        parsed = SETTINGS_KINDS[connector].read(settings, ())
    except (KeyError, SettingsInvalid):
        return frozenset()
    return parsed.id_characters if isinstance(parsed, target.TargetSettings) else frozenset()


def list_caught_up_types(connector: str, settings: Mapping[str, Any]) -> frozenset[str]:
    """Return the entity types, as the settings call them, whose list can be limited to what changed since a time.
    Raises SettingsInvalid, and KeyError if there is no such connector.
    """
    parsed = SETTINGS_KINDS[connector].read(settings, ())
    if not isinstance(parsed, identity.IdentitySettings):
        return frozenset()
    lists = {name: entity.list for name, entity in parsed.entities.items()}
    return frozenset(
        name for name, one in lists.items() if one is not None and one.modified_since is not None
    )


def read_connection_options(connector: str, settings: Mapping[str, Any]) -> ConnectionOptions:
    """Return the connection options of the settings. Raises SettingsInvalid."""
    if connector not in SETTINGS_KINDS:
        raise SettingsInvalid(("connector",), "There is no such connector.")
    return SETTINGS_KINDS[connector].read(settings, ()).options


@overload
def make_connector(
    side: Literal["identity"],
    connector: str,
    *,
    base_url: str,
    authentication: Mapping[str, Any],
    credentials: Mapping[str, str],
    settings: Mapping[str, Any],
    request_id: str,
    recorder: Recorder,
    deadline: float = DEFAULT_DEADLINE_SECONDS,
    byte_cap: int = DEFAULT_BYTE_CAP,
    scrubber: SecretScrubber | None = None,
    language: str = "",
    trace: tuple[str, str] | None = None,
) -> IdentityConnector: ...
@overload
def make_connector(
    side: Literal["target"],
    connector: str,
    *,
    base_url: str,
    authentication: Mapping[str, Any],
    credentials: Mapping[str, str],
    settings: Mapping[str, Any],
    request_id: str,
    recorder: Recorder,
    deadline: float = DEFAULT_DEADLINE_SECONDS,
    byte_cap: int = DEFAULT_BYTE_CAP,
    scrubber: SecretScrubber | None = None,
    language: str = "",
    trace: tuple[str, str] | None = None,
) -> TargetConnector: ...
def make_connector(
    side: Side,
    connector: str,
    *,
    base_url: str,
    authentication: Mapping[str, Any],
    credentials: Mapping[str, str],
    settings: Mapping[str, Any],
    request_id: str,
    recorder: Recorder,
    deadline: float = DEFAULT_DEADLINE_SECONDS,
    byte_cap: int = DEFAULT_BYTE_CAP,
    scrubber: SecretScrubber | None = None,
    language: str = "",
    trace: tuple[str, str] | None = None,
) -> IdentityConnector | TargetConnector:
    """Make a connector for one attempt. Cheap: parsed settings, open connections and tokens are cached in the
    process.

    `deadline` in seconds for each exchange, `byte_cap` for the body of each response; `request_id` is sent as
    X-Request-Id, and `language` as Accept-Language of writes. `trace`, an id and flags, is continued with a
    traceparent in each transmission. `scrubber` removes the secrets of this connection from errors and records,
    and those of others with which it is shared. Raises SettingsInvalid.
    """
    if CONNECTOR_SIDES.get(connector) != side:
        raise SettingsInvalid(("connector",), "This connector does not fit the role of the connection.")
    key = fingerprint_json(connector, base_url, authentication, credentials, settings)
    cached = _cache.get(key)
    if cached is None:
        cached = _parse_connection(connector, base_url, authentication, credentials, settings)
        _cache_parsed(key, cached)
    config, parsed = cached
    options = AttemptOptions(request_id, deadline, byte_cap, language, trace)
    client = HttpClient(config, options, recorder, scrubber or SecretScrubber())
    if isinstance(parsed, identity.IdentitySettings):
        return RestIdentityConnector(client, parsed)
    return RestTargetConnector(client, parsed)


def find_credential_origins(base_url: str, authentication: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the origins (scheme, host and port) that receive credentials: that of the system and, for OAuth, that of
    its token endpoint. Empty if a setting is invalid, with which no connector can be made.
    """
    return _find_origins(base_url, json.dumps(authentication))


# Asked for each time that credentials are decrypted.
@lru_cache(maxsize=MAX_CACHED)
def _find_origins(base_url: str, authentication: str) -> tuple[str, ...]:
    try:
        base = read_base_url(base_url)
        scheme = parse_authentication(json.loads(authentication), base)
        return tuple(address.origin for address in scheme.endpoints(base))
    except (SettingsInvalid, ValueError):
        return ()


def find_log_in_key(
    connector: str, base_url: str, authentication: Mapping[str, Any], credentials: Mapping[str, str]
) -> str | None:
    """Return the key by which the guard of log-ins knows the credentials of a connection; None if it has no log-in.
    Raises SettingsInvalid.
    """
    base = read_base_url(base_url)
    scheme = parse_authentication(authentication, base)
    if not isinstance(scheme, SessionAuthentication):
        return None
    side = CONNECTOR_SIDES.get(connector, "identity")
    return SessionAuthenticator(scheme, Credentials(credentials), base, side, SecretSet()).log_in_key


def find_refresh_key(
    connector: str, base_url: str, authentication: Mapping[str, Any], credentials: Mapping[str, str]
) -> str | None:
    """Return the key by which the store of refresh tokens knows a connection; None if it has no refresh token. Raises
    SettingsInvalid, and KeyError if a credential is missing.
    """
    base = read_base_url(base_url)
    scheme = parse_authentication(authentication, base)
    if not isinstance(scheme, OAuth):
        return None
    side = CONNECTOR_SIDES.get(connector, "identity")
    return OAuthAuthenticator(scheme, Credentials(credentials), base, side, SecretSet()).refresh_key


def find_client_certificate(
    base_url: str, authentication: Mapping[str, Any], credentials: Mapping[str, str]
) -> ClientCertificate | None:
    """Return the client certificate that a connection presents; None if it has none. Raises SettingsInvalid."""
    return _read_certificate(parse_authentication(authentication, read_base_url(base_url)), credentials)


def _read_certificate(scheme: Authentication, credentials: Mapping[str, str]) -> ClientCertificate | None:
    if not scheme.client_certificate:
        return None
    for name in CERTIFICATE_CREDENTIALS:
        if not credentials.get(name):
            raise SettingsInvalid(("credentials", name), "This credential is missing.")
    return read_client_certificate(*(credentials[name] for name in CERTIFICATE_CREDENTIALS))


_ConnectorSettings = identity.IdentitySettings | target.TargetSettings
# The settings of each connector, as they are read and described.
SETTINGS_KINDS: Mapping[str, ValueKind[_ConnectorSettings]] = {
    "rest-identity": identity.IDENTITY_SETTINGS,
    "rest-target": target.TARGET_SETTINGS,
}

# Keyed by a hash of all arguments, so that a changed connection never uses an old entry.
_cache: dict[bytes, tuple[ClientConfig, _ConnectorSettings]] = {}


def _cache_parsed(key: bytes, parsed: tuple[ClientConfig, _ConnectorSettings]) -> None:
    if len(_cache) >= MAX_CACHED:
        # Seldom reached, and entries are cheap to make again.
        _cache.clear()
    _cache[key] = parsed


# An authenticator has a lock, which a thread that did not survive the fork may hold.
os.register_at_fork(after_in_child=_cache.clear)


def _parse_connection(
    connector: str,
    base_url: str,
    authentication: Mapping[str, Any],
    credentials: Mapping[str, str],
    settings: Mapping[str, Any],
) -> tuple[ClientConfig, _ConnectorSettings]:
    base = read_base_url(base_url)
    scheme = parse_authentication(authentication, base)
    parsed = SETTINGS_KINDS[connector].read(settings, ())
    side = CONNECTOR_SIDES[connector]
    secrets = SecretSet(
        *list_secrets(scheme, credentials, {"settings": settings, "authentication": authentication})
    )
    remember_secrets(secrets)
    authenticator = make_authenticator(scheme, credentials, base, side, secrets)
    session_rules = scheme.refused if isinstance(scheme, SessionAuthentication) else ()
    answers = getattr(parsed, "answers", ())
    if scheme.csrf is not None:
        identity_of = fingerprint_json(authentication, credentials).hex()
        refused = (*session_rules, *(rule for rule in answers if rule.means is Meaning.CREDENTIALS))
        authenticator = CsrfAuthenticator(
            authenticator, scheme.csrf, base, side, secrets, parsed.options.headers, identity_of, refused
        )
    header = getattr(parsed, "idempotency_header", None)
    refused_rules = (*session_rules, *(scheme.csrf.refused if scheme.csrf else ()))
    config = ClientConfig(
        side,
        base,
        authenticator,
        parsed.options,
        parsed.error_extractor,
        secrets,
        header,
        refused_rules,
        answers,
        place_credentials(scheme, credentials),
        _read_certificate(scheme, credentials),
        OAuth1Signer(scheme, Credentials(credentials)).sign
        if isinstance(scheme, OAuth1Authentication)
        else None,
        scheme.token_ca if isinstance(scheme, OAuth) else None,
    )
    return config, parsed


@lru_cache(maxsize=256)
def read_base_url(base_url: str) -> BaseUrl:
    """Parse the base URL of a connection. Raises SettingsInvalid."""
    try:
        return parse_base_url(base_url)
    except ValueError as error:
        raise SettingsInvalid(("base_url",), str(error)) from None
