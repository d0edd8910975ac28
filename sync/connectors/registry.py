"""The connectors there are, and the one way to get one."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, overload

from sync.connectors import commercial_settings, identity_settings
from sync.connectors.authentication import authenticator
from sync.connectors.client import HttpClient, Terms
from sync.connectors.credentials import SCHEMES, parse_authentication
from sync.connectors.errors import Side
from sync.connectors.exchange import Recorder
from sync.connectors.records import CommercialConnector, IdentityConnector
from sync.connectors.rest_commercial import RestCommercial
from sync.connectors.rest_identity import RestIdentity
from sync.connectors.settings import SettingsInvalid
from sync.connectors.urls import Base, parse_base_url

CONNECTORS: Mapping[str, str] = {
    "rest-identity": "Identity service with a REST API",
    "rest-commercial": "Commercial system with a REST API",
}
SIDES: Mapping[str, Side] = {"rest-identity": "identity", "rest-commercial": "target"}

DEADLINE = 10.0
BYTE_CAP = 1_048_576


def validate(
    connector: str, settings: Mapping[str, Any], authentication: Mapping[str, Any], base_url: str
) -> None:
    """Check what is about to be saved; raises SettingsInvalid, its pointer beginning with an argument."""
    if connector not in CONNECTORS:
        raise SettingsInvalid("/connector", f"This must be one of: {', '.join(CONNECTORS)}.")
    parse_authentication(authentication, _base(base_url))
    try:
        _PARSERS[connector](settings)
    except SettingsInvalid as invalid:
        raise SettingsInvalid(f"/settings{invalid.pointer}", invalid.sentence) from None


def credential_names(authentication: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the credentials that an authentication needs."""
    return SCHEMES.get(str(authentication.get("scheme", "none")), ())


@overload
def connect(
    side: Literal["identity"],
    connector: str,
    *,
    base_url: str,
    authentication: Mapping[str, Any],
    credentials: Mapping[str, str],
    settings: Mapping[str, Any],
    request_id: str,
    recorder: Recorder,
    deadline: float = DEADLINE,
    byte_cap: int = BYTE_CAP,
) -> IdentityConnector: ...
@overload
def connect(
    side: Literal["target"],
    connector: str,
    *,
    base_url: str,
    authentication: Mapping[str, Any],
    credentials: Mapping[str, str],
    settings: Mapping[str, Any],
    request_id: str,
    recorder: Recorder,
    deadline: float = DEADLINE,
    byte_cap: int = BYTE_CAP,
) -> CommercialConnector: ...
def connect(
    side: Side,
    connector: str,
    *,
    base_url: str,
    authentication: Mapping[str, Any],
    credentials: Mapping[str, str],
    settings: Mapping[str, Any],
    request_id: str,
    recorder: Recorder,
    deadline: float = DEADLINE,
    byte_cap: int = BYTE_CAP,
) -> IdentityConnector | CommercialConnector:
    """A connector for one attempt, cheap to make: connections and tokens are kept in the process, not in it.

    `deadline` in seconds for each exchange, `byte_cap` for the body of each answer, `request_id` is sent as
    X-Request-Id. Raises SettingsInvalid.
    """
    if SIDES.get(connector) != side:
        raise SettingsInvalid("/connector", "There is no such connector for this side.")
    base = _base(base_url)
    scheme = parse_authentication(authentication, base)
    parsed = _parsed(connector, json.dumps(settings, sort_keys=True))
    client = HttpClient(
        side=side,
        base=base,
        authenticator=authenticator(scheme, credentials, side),
        reach=parsed.reach,
        terms=Terms(request_id, deadline, byte_cap),
        recorder=recorder,
        words=parsed.words,
        idempotency_header=getattr(parsed, "idempotency_header", None),
    )
    if isinstance(parsed, identity_settings.Settings):
        return RestIdentity(client, parsed)
    return RestCommercial(client, parsed)


_Settings = identity_settings.Settings | commercial_settings.Settings
_PARSERS = {
    "rest-identity": identity_settings.parse_settings,
    "rest-commercial": commercial_settings.parse_settings,
}


@lru_cache(maxsize=256)
def _parsed(connector: str, settings: str) -> _Settings:
    """Settings by their text: parsing compiles expressions, which no attempt should wait for twice."""
    parse: Any = _PARSERS[connector]
    parsed: _Settings = parse(json.loads(settings))
    return parsed


@lru_cache(maxsize=256)
def _base(base_url: str) -> Base:
    try:
        return parse_base_url(base_url)
    except ValueError as error:
        raise SettingsInvalid("/base_url", str(error)) from None
