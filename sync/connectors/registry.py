"""The connectors there are, and the one way to get one."""

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, overload

from sync.connectors.client.authentication import authenticator
from sync.connectors.client.client import HttpClient, Site, Terms
from sync.connectors.client.exchange import Recorder
from sync.connectors.contracts.errors import Side
from sync.connectors.contracts.types import CommercialConnector, IdentityConnector
from sync.connectors.http.urls import Base, parse_base_url
from sync.connectors.rest_commercial import RestCommercial
from sync.connectors.rest_identity import RestIdentity
from sync.connectors.settings import commercial, identity
from sync.connectors.settings.authentication import SCHEMES, parse_authentication
from sync.connectors.settings.reader import Reach, SettingsInvalid
from sync.connectors.values.fingerprint import fingerprint

CONNECTORS: Mapping[str, str] = {
    "rest-identity": "Identity service with a REST API",
    "rest-commercial": "Commercial system with a REST API",
}
SIDES: Mapping[str, Side] = {"rest-identity": "identity", "rest-commercial": "target"}

DEADLINE = 10.0
BYTE_CAP = 1_048_576
MOST_KNOWN = 256


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


def reach_of(connector: str, settings: Mapping[str, Any]) -> Reach:
    """What the settings say of the way to the system. Raises SettingsInvalid."""
    if connector not in _PARSERS:
        raise SettingsInvalid("/connector", "There is no such connector.")
    parsed: Any = _PARSERS[connector](settings)
    reach: Reach = parsed.reach
    return reach


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
    """A connector for one attempt, cheap to make: what was read of equal arguments before, connections and tokens are
    kept in the process, not in it.

    `deadline` in seconds for each exchange, `byte_cap` for the body of each answer, `request_id` is sent as
    X-Request-Id. Raises SettingsInvalid.
    """
    if SIDES.get(connector) != side:
        raise SettingsInvalid("/connector", "There is no such connector for this side.")
    key = fingerprint(connector, base_url, authentication, credentials, settings)
    known = _known.get(key)
    if known is None:
        known = _read(connector, base_url, authentication, credentials, settings)
        _remember(key, known)
    site, parsed = known
    client = HttpClient(site, Terms(request_id, deadline, byte_cap), recorder)
    if isinstance(parsed, identity.Settings):
        return RestIdentity(client, parsed)
    return RestCommercial(client, parsed)


_Settings = identity.Settings | commercial.Settings
_PARSERS = {
    "rest-identity": identity.parse_settings,
    "rest-commercial": commercial.parse_settings,
}

# By a digest of all that was read, so that a changed connection is never taken for what it was.
_known: dict[bytes, tuple[Site, _Settings]] = {}


def _remember(key: bytes, known: tuple[Site, _Settings]) -> None:
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known[key] = known


# What authenticates may hold a lock, and a lock may have been held by a thread that did not survive the fork.
os.register_at_fork(after_in_child=_known.clear)


def _read(
    connector: str,
    base_url: str,
    authentication: Mapping[str, Any],
    credentials: Mapping[str, str],
    settings: Mapping[str, Any],
) -> tuple[Site, _Settings]:
    base = _base(base_url)
    scheme = parse_authentication(authentication, base)
    parse: Any = _PARSERS[connector]
    parsed: _Settings = parse(settings)
    side = SIDES[connector]
    prover = authenticator(scheme, credentials, side)
    header = getattr(parsed, "idempotency_header", None)
    return Site(side, base, prover, parsed.reach, parsed.words, header), parsed


@lru_cache(maxsize=256)
def _base(base_url: str) -> Base:
    try:
        return parse_base_url(base_url)
    except ValueError as error:
        raise SettingsInvalid("/base_url", str(error)) from None
