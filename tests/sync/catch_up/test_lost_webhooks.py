"""Webhooks of three types are lost: a comparison finds all, and one catch-up delivers every change but deletions."""

import pytest

from sync.execution.executor import run_due_deliveries
from tests.support.builders.changing_people import caught_up, changing_people, run_catch_up, start_catch_up
from tests.support.comparisons import run_comparison
from tests.support.hub import Hub

pytestmark = [pytest.mark.concurrent, pytest.mark.promise("I32", "T32")]


def deliver(hub: Hub) -> None:
    while run_due_deliveries():
        pass
    hub.wait_until_idle(300)


def compare() -> dict[str, int]:
    """Compare the people of both systems, and return what is not in step."""
    counts = run_comparison(seconds=500).counts
    return {kind: count for kind, count in counts.items() if count and kind != "in-step"}


@pytest.mark.parametrize("lost", [10, pytest.param(1_000, marks=pytest.mark.nightly)])
def test_lost_webhooks_are_found(hub: Hub, lost: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.conf.settings.ABSENCE_CONFIRM_SECONDS", 0)
    hub.shop.store.clear_collections("customers")
    updated, deleted = ([f"{kind}{number}" for number in range(lost * 2 // 5)] for kind in ("U", "D"))
    created, deleted = (
        [f"C{number}" for number in range(lost - len(updated) - lost // 5)],
        deleted[: lost // 5],
    )
    with changing_people(size=100) as people:
        start_catch_up()
        people.change_all(*updated, *deleted, ago=900)
        run_catch_up()
        deliver(hub)
        assert compare() == {}
        before = len(caught_up())
        # No webhook of any of these arrives.
        people.change_all(*created, *updated)
        for key in deleted:
            del people.people[key]
        found = {"missing-record": len(created), "differs": len(updated), "entity-gone": len(deleted)}
        assert (compare(), sum(found.values())) == (found, lost)
        row = run_catch_up()
        assert (row.made, row.failure) == (lost - len(deleted), "")
        assert sorted(caught_up()[before:]) == sorted([*created, *updated])
        deliver(hub)
        assert compare() == {"entity-gone": len(deleted)}
