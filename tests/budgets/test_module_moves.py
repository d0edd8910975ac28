"""How often the path of one webhook goes from one module of the product to another: a measure of how hard it is to
follow, listed so that it cannot grow unnoticed.
"""

import pytest

from tests.bench.account.module_moves import counted_moves
from tests.support.hub import EXAMPLE, Hub

# The webhook of `make bench ARGS=--account`, whose connections have fewer settings, takes a little less.
MOST = 553


def moves_of_one_event(hub: Hub, address: str) -> int:
    hub.change_email(address)
    with counted_moves() as moves:
        assert b'"updated"' in hub.post_signed(EXAMPLE).content
        hub.wait_until_quiet()
    return sum(moves.by_pair.values())


def test_the_path_of_a_webhook_that_waits_for_the_result(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fewest moves of three events count, because workers look for due deliveries meanwhile."""
    moves_of_one_event(hub, "anna.warm@example.com")
    # No cache of settings expires from now on, however slow the machine is.
    monkeypatch.setattr("database.cached_read.monotonic", lambda: 0.0)
    fewest = min(moves_of_one_event(hub, f"anna.{number}@example.com") for number in range(3))
    assert 300 < fewest <= MOST, "with fewer, the threads of the deliveries were not counted"
