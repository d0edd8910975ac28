"""Check addresses when they are saved or checked: `http.egress` decides, here and when a connection is opened."""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

from config_schema.errors import SettingPath, SettingsInvalid
from connectors.http.dns import resolve_addresses
from connectors.http.egress import (
    Network,
    is_address_allowed,
    is_address_forbidden,
    is_loopback,
    read_address,
)
from connectors.http.urls import BaseUrl
from connectors.registry import read_base_url, read_connection_options
from connectors.settings.authentication import parse_authentication

LOOKUP_SECONDS = 2.0
# Any port: it does not change the addresses.
_PORT = 443


class BlockedHost(NamedTuple):
    """A host that the hub may not connect to. `is_outside_networks`: only the networks of the connection exclude it."""

    sentence: str
    is_outside_networks: bool = False


def find_blocked_host(
    host: str, networks: Sequence[Network] = (), seconds: float = LOOKUP_SECONDS
) -> BlockedHost | None:
    """Look up a host. Returns None if the hub may connect to it, or if its name is not known within `seconds`: then the
    address is judged when a connection is opened, as always.
    """
    try:
        addresses = [str(one[4][0]) for one in resolve_addresses(host.strip("[]"), _PORT, seconds)]
    except OSError:
        return None
    # Not even one among others: a name that leads to it is not harmless.
    if forbidden := [address for address in addresses if is_address_forbidden(ip_address(address))]:
        return BlockedHost(_forbidden_sentence(forbidden[0]))
    if any(is_address_allowed(host, address, networks) for address in addresses):
        return None
    if any(is_address_allowed(host, address) for address in addresses):
        sentence = f"{host} has the address {addresses[0]}, which is in none of these networks."
        return BlockedHost(sentence, is_outside_networks=True)
    return BlockedHost(
        f"The hub may not connect to {host}, which has the address {addresses[0]}. What it may contact is set by "
        "EGRESS_ALLOW."
    )


def refuse_forbidden_addresses(authentication: Mapping[str, Any], base_url: str) -> None:
    """Raise SettingsInvalid if a host of a connection is an address to which the hub never connects, or if a setting is
    invalid. No name is looked up.
    """
    for place, endpoint in _list_endpoints(authentication, base_url):
        address = read_address(endpoint.host)
        if address is not None and is_address_forbidden(address):
            raise SettingsInvalid(place, _forbidden_sentence(address))


def find_blocked_address(
    connector: str,
    settings: Mapping[str, Any],
    authentication: Mapping[str, Any],
    base_url: str,
    seconds: float = LOOKUP_SECONDS,
) -> SettingsInvalid | None:
    """Look up the hosts of a connection, each within `seconds`. Returns the error of the setting whose host the hub may
    not connect to; None if there is none. Raises SettingsInvalid if a setting is invalid.
    """
    base, networks = read_base_url(base_url), read_connection_options(connector, settings).networks
    for place, endpoint in _list_endpoints(authentication, base_url):
        blocked = find_blocked_host(
            endpoint.host, networks if endpoint.origin == base.origin else (), seconds
        )
        if blocked is not None:
            return SettingsInvalid(
                ("settings", "networks") if blocked.is_outside_networks else place, blocked.sentence
            )
    return None


def list_unencrypted_hosts(authentication: Mapping[str, Any], base_url: str) -> list[str]:
    """Return the hosts of other computers to which credentials are sent over `http`. Raises SettingsInvalid."""
    endpoints = [endpoint for _, endpoint in _list_endpoints(authentication, base_url)]
    needs_credentials = parse_authentication(authentication, read_base_url(base_url)).credential_names
    return [
        endpoint.host
        for endpoint in endpoints
        if needs_credentials and endpoint.scheme == "http" and not is_loopback(endpoint.host)
    ]


def _list_endpoints(
    authentication: Mapping[str, Any], base_url: str
) -> Iterator[tuple[SettingPath, BaseUrl]]:
    """Yield each origin that a connection contacts, with the setting that names it."""
    base = read_base_url(base_url)
    for endpoint in {
        one.origin: one for one in parse_authentication(authentication, base).endpoints(base)
    }.values():
        yield (("base_url",) if endpoint.origin == base.origin else ("authentication", "token_url")), endpoint


def _forbidden_sentence(address: object) -> str:
    return (
        f"The hub never connects to {address}: this is a metadata service of a cloud, or a link-local, multicast or "
        "unspecified address."
    )
