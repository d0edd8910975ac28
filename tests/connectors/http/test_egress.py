"""The addresses that the hub may connect to, by its policy and by the networks of a connection."""

import contextlib
import socket
from ipaddress import ip_address, ip_network

import pytest

from connectors.contracts.errors import SystemUnavailable
from connectors.http.dns import resolve_addresses
from connectors.http.egress import (
    DEVELOPMENT_POLICY,
    EgressPolicy,
    is_address_allowed,
    is_address_forbidden,
    parse_egress_policy,
)
from tests.support.http.connectors import shop, shop_settings
from tests.support.http.egress import PRODUCTION_DEFAULT, egress_policy
from tests.support.http.servers import Reply, SeenRequest, Service, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

EVERYTHING = parse_egress_policy("0.0.0.0/0,::/0,public,shop.test")
METADATA_SPELLINGS = [
    "169.254.169.254", "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376",
    "169.254.43518", "169.16689662", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "0:0:0:0:0:ffff:a9fe:a9fe",
    "2002:a9fe:a9fe::", "64:ff9b::a9fe:a9fe", "64:ff9b::169.254.169.254", "fe80::1", "fe80::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe", "::169.254.169.254", "::a9fe:a9fe", "fd20:ce::254", "fd00:ec2::23",
    "fd00:ec2::254", "fd00:0ec2:0:0:0:0:0:254", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "::ffff:0:169.254.169.254", "::ffff:0:6464:64c8", "2001:0:a9fe:a9fe::", "2001:0:4136:e378:8000:63bf:5601:5601",
    "2001:db8::5efe:a9fe:a9fe", "2001:db8::200:5efe:169.254.169.254", "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00:0", "fd00:42::42", "fd00:c1::a9fe:a9fe",
    "::ffff:100.100.100.200", "0.0.0.0", "0", "::", "::ffff:0.0.0.0", "224.0.0.1", "ff02::1",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8", "100.63.255.255", "172.32.0.1", "192.0.1.1", "198.20.0.1", "223.255.255.255", "2a00:1450::1", "2600::",
    "::ffff:8.8.8.8", "64:ff9b::808:808", "2a00:1450::5efe:808:808",
]  # fmt: skip
INTERNAL = [
    "127.0.0.1",
    "127.255.0.9",
    "10.1.2.3",
    "172.31.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fd12::1",
]
# Neither public nor of one organisation, or an IPv4 address inside of an IPv6 address.
NEITHER = [
    "0.1.2.3", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "203.0.113.9", "240.0.0.1", "255.255.255.255",
    "2001:db8::1", "2001:10::1", "3fff::1", "fec0::1", "5f00::1", "100::1",
    "2002:7f00:1::", "2002:808:808::", "::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8", "::127.0.0.1", "64:ff9b:1::7f00:1",
    "64:ff9b:1:7f00:0:100::", "2001:0:7f00:1::", "2001:0:808:808:8000:63bf:80ff:fffe",
]  # fmt: skip
HIDDEN_INTERNAL = [
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "64:ff9b::7f00:1",
    "64:ff9b::10.1.2.3",
    "2a00:1450::5efe:127.0.0.1",
]


def _user(_: SeenRequest) -> Reply:
    return Reply(200, {"id": 1})


def _port(service: Service) -> int:
    return int(service.url.rpartition(":")[2])


def _is_allowed(address: str, policy: EgressPolicy, host: str = "host.test", *networks: str) -> bool:
    with egress_policy(policy):
        return is_address_allowed(host, address, [ip_network(network) for network in networks])


@pytest.mark.promise("I13", "T7")
def test_no_policy_allows_any_spelling_of_a_forbidden_address() -> None:
    for spelling in METADATA_SPELLINGS:
        addresses = [str(one[4][0]) for one in resolve_addresses(spelling, 80, 60.0)]
        assert addresses
        assert all(is_address_forbidden(ip_address(address)) for address in addresses)
        assert not any(_is_allowed(address, EVERYTHING, "shop.test") for address in addresses)


@pytest.mark.promise("I13", "T7")
def test_without_a_setting_production_contacts_public_addresses_and_development_also_internal_ones() -> None:
    cases = [(PUBLIC, True, True), (INTERNAL + HIDDEN_INTERNAL, False, True), (NEITHER, False, False)]
    for addresses, in_production, in_development in cases:
        for address in addresses:
            assert _is_allowed(address, PRODUCTION_DEFAULT) is in_production, address
            assert _is_allowed(address, DEVELOPMENT_POLICY) is in_development, address


def test_a_policy_allows_what_it_lists_and_nothing_else() -> None:
    cases: list[tuple[str, str, str, bool]] = [
        ("10.0.0.0/8", "host.test", "10.1.2.3", True), ("10.0.0.0/8", "host.test", "8.8.8.8", False),
        ("public, 10.0.0.0/8", "host.test", "8.8.8.8", True), ("10.1.2.3", "host.test", "10.1.2.4", False),
        ("host.test", "host.test", "127.0.0.1", True), ("Host.Test.", "HOST.test", "10.1.2.3", True),
        ("host.test", "a.host.test", "10.1.2.3", False), ("host.test", "host.test", "169.254.169.254", False),
        ("10.0.0.0/8", "host.test", "::ffff:10.1.2.3", True), ("10.0.0.0/8", "host.test", "::ffff:0:10.1.2.3", False),
        ("10.0.0.0/8,::ffff:0:0:0/96", "host.test", "::ffff:0:10.1.2.3", True),
        ("::ffff:0:0:0/96", "host.test", "::ffff:0:10.1.2.3", False), ("::1", "[::1]", "::1", True),
        ("public,64:ff9b:1::/48", "host.test", "64:ff9b:1::808:808", True),
        ("public,64:ff9b:1::/48", "host.test", "64:ff9b:1:808:8:800::", True),
        ("public,64:ff9b:1::/48", "host.test", "64:ff9b:1::7f00:1", False), ("::/0", "host.test", "127.0.0.1", False),
    ]  # fmt: skip
    for text, host, address, is_allowed in cases:
        assert _is_allowed(address, parse_egress_policy(text), host) is is_allowed, (text, address)


@pytest.mark.parametrize(
    "text",
    ["10.0.0.1/8", "shop.test,", "http://shop.test", "127.1", "0x7f000001", "2130706433", "*.shop.test", "shop.test:80",
     "u:canary@shop.test", "169.254.0.0/16", "169.254.169.254", "fd00:ec2::254", "ä.test", "a b"],
)  # fmt: skip
def test_a_policy_that_is_mistyped_or_lists_a_forbidden_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"entry \d is ") as refused:
        parse_egress_policy(text)
    assert "canary" not in str(refused.value)


def test_the_networks_of_a_connection_narrow_the_policy_and_never_widen_it() -> None:
    cases: list[tuple[str, str, bool]] = [
        ("10.1.2.3", "10.0.0.0/8", True), ("11.1.2.3", "10.0.0.0/8", False),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True), ("64:ff9b::a01:203", "10.0.0.0/8", True),
        ("2001:db8::1", "10.0.0.0/8", False), ("10.1.2.3", "2001:db8::/32", False),
        ("169.254.169.254", "169.254.0.0/16", False), ("::ffff:0:10.1.2.3", "10.0.0.0/8", False),
        ("2001:db8::5efe:10.1.2.3", "10.0.0.0/8", False),
    ]  # fmt: skip
    for address, network, is_allowed in cases:
        assert _is_allowed(address, EVERYTHING, "host.test", network) is is_allowed
        assert not _is_allowed(address, PRODUCTION_DEFAULT, "host.test", network)


@pytest.mark.parametrize(
    ("networks", "reached"), [([], 1), (["127.0.0.0/8"], 1), (["10.0.0.0/8", "::/0"], 0)]
)
def test_a_connection_uses_only_its_allowed_networks(networks: list[str], reached: int) -> None:
    with serving(_user) as service:
        connector = shop(service.url, settings=shop_settings() | {"networks": networks})
        with (
            contextlib.nullcontext() if reached else pytest.raises(SystemUnavailable, match="may not contact")
        ):
            connector.get_record("USER", "1")
        assert len(service.seen) == reached


def test_the_networks_of_a_connection_are_not_those_of_a_token_endpoint_elsewhere() -> None:
    with serving(lambda _: Reply(200, {"access_token": "t1"})) as issuer:
        connector = shop(
            "http://127.0.0.2:9",
            settings=shop_settings() | {"networks": ["127.0.0.2/32"]},
            authentication={"scheme": "oauth2-client-credentials", "token_url": f"{issuer.url}/token"},
            credentials={"client_id": "networks", "client_secret": "hush"},
        )
        assert connector.renew_credentials()


def test_of_several_addresses_only_an_allowed_one_is_contacted(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(_user) as service, socket.create_server(("127.0.0.2", _port(service))) as trap:
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, _port(service)))
            for host in ("127.0.0.2", "127.0.0.1")
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        url = f"http://name.test:{_port(service)}"
        with egress_policy(parse_egress_policy("127.0.0.1")):
            assert shop(url).get_record("USER", "1")
        trap.setblocking(False)
        with pytest.raises(BlockingIOError):
            trap.accept()


def test_a_redirect_to_an_internal_address_is_not_followed() -> None:
    with serving(_user) as trap, serving(lambda _: Reply(302, {}, {"Location": trap.url})) as service:
        with contextlib.suppress(Exception):
            shop(service.url).get_record("USER", "1")
        assert (len(service.seen), len(trap.seen)) == (1, 0)
