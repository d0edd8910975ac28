"""The part of an address that is limited as one."""

import pytest

from logins.addresses import network_of

pytestmark = pytest.mark.pure


def test_an_ipv6_address_counts_as_its_network() -> None:
    networks = {
        "192.0.2.7": "192.0.2.7",
        "2001:db8:1:2:ffff:4:5:6": "2001:db8:1:2::/64",
        "::ffff:192.0.2.7": "192.0.2.7",
        "fe80::1%eth0": "fe80::/64",
        "": "",
        "unix:": "",
        "hunter2": "",
    }
    assert {address: network_of(address) for address in networks} == networks
