"""A list that is cut, empty, refused, or only a sample proves nothing: no entity is gone, and no record without a link."""

from collections.abc import Callable

import pytest

from database.clock import database_now
from sync.limits.circuit_breaker import unhealthy_breakers
from sync.models import Breaker, Comparison, ComparisonRecord, Connection, Difference, Job
from tests.support.builders.compared_systems import (
    ComparedSystems,
    begin_comparison,
    change_list,
    compare,
    found_rows,
    run_to_end,
)
from tests.support.http.servers import Reply
from tests.support.rows import in_submission

pytestmark = pytest.mark.concurrent


def seed(systems: ComparedSystems, people: int = 7) -> None:
    """People in step but the last one, who differs; and a record that nobody has on the first and on the last page."""
    for number in range(people - 1):
        systems.add_pair(number)
    systems.add_pair(people - 1, last_name="Other")
    for record in ("b99", "c99"):
        systems.add_customer(record, None, email=f"{record}@example.net")


def refuse(status: int) -> Callable[[Reply], Reply]:
    return lambda _: Reply(status, {})


def cut(reply: Reply) -> Reply:
    """End the list here, without a word: as a system does that loses the rest."""
    return Reply(200, {"items": reply.value["items"][:1], "total": None})


def empty(_: Reply) -> Reply:
    return Reply(200, {"items": [], "total": 0})


def shorten(reply: Reply) -> Reply:
    """Return no further item, although the total says that there are more."""
    return Reply(200, {"items": [], "total": reply.value["total"]})


FAULTS = [
    ("users", 2, refuse(500), "identity-unavailable"),
    ("users", 2, refuse(403), "identity-credentials"),
    ("users", 1, empty, "list-empty"),
    ("users", 3, shorten, "list-short"),
    ("customers", 2, refuse(500), "target-unavailable"),
    ("customers", 1, refuse(403), "target-credentials"),
    ("customers", 1, empty, "list-empty"),
    ("customers", 3, shorten, "list-short"),
]


@pytest.mark.submission_rows(4)
@pytest.mark.parametrize(("side", "page", "fault", "gap"), FAULTS)
def test_a_list_that_fails_proves_nothing_and_the_rest_is_compared(
    systems: ComparedSystems, side: str, page: int, fault: Callable[[Reply], Reply], gap: str
) -> None:
    seed(systems)
    systems.faults[side, page] = fault
    comparison = compare()
    gaps = (gap, "") if side == "users" else ("", gap)
    assert (comparison.state, comparison.identity_gap, comparison.target_gap) == ("done", *gaps)
    kinds = {kind for kind, _, _ in found_rows(comparison)}
    assert "entity-gone" not in kinds
    assert ("unknown-record" in kinds) is (side == "users")
    if side == "customers":
        # By its link, one request each that the list did not have.
        assert ("differs", "U06", "c06") in found_rows(comparison)
        assert comparison.counts["in-step"] == 6
    assert systems.writes == []


def test_many_items_less_than_the_last_time_are_a_gap(systems: ComparedSystems) -> None:
    for number in range(30):
        systems.add_pair(number)
    assert compare().is_complete
    for number in range(30, 18, -1):
        systems.users.pop(f"U{number - 1:02}")
    comparison = compare()
    assert (comparison.identity_gap, comparison.target_gap) == ("fewer-than-before", "")
    # Not even a candidate.
    assert (found_rows(comparison), comparison.to_confirm) == ([], 0)


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("side", "changes", "gap"),
    [
        ("target", {"complete": None}, "list-not-complete"),
        ("identity", {"complete": None}, "list-not-complete"),
        ("target", {"is_removed": True}, "no-list"),
    ],
)
def test_a_list_that_is_a_sample_is_incomplete(
    systems: ComparedSystems, side: str, changes: dict[str, object], gap: str
) -> None:
    seed(systems)
    del systems.users["U00"]
    change_list(side, **changes)
    comparison = compare()
    assert (comparison.state, getattr(comparison, f"{side}_gap")) == ("done", gap)
    rows = found_rows(comparison)
    assert ("differs", "U06", "c06") in rows
    assert ("entity-gone", "U00", "c00") in rows or side == "identity"
    assert ("unknown-record", "", "c99") not in rows or side == "identity"


@pytest.mark.parametrize("side", in_submission(["customers", "users"], but=["users"]))
def test_a_refused_position_starts_the_side_anew_at_most_twice(systems: ComparedSystems, side: str) -> None:
    seed(systems)
    refusals = [Reply(410, {})]
    systems.faults[side, 2] = lambda reply: refusals.pop() if refusals else reply
    comparison = compare()
    assert (comparison.restarts, comparison.is_complete, comparison.counts["in-step"]) == (1, True, 6)
    assert (comparison.read_records, comparison.read_entities) == (9, 7)
    systems.faults[side, 2] = refuse(410)
    again = compare()
    gap = again.target_gap if side == "customers" else again.identity_gap
    assert (again.restarts, gap) == (2, "target-rejected" if side == "customers" else "identity-rejected")


def test_a_system_that_stays_away_ends_the_comparison_with_its_code(systems: ComparedSystems) -> None:
    seed(systems)
    comparison = begin_comparison()
    shop = Connection.objects.get(slug="shop")
    Breaker.objects.update_or_create(
        connection=shop, defaults={"failures": 10, "open_until": database_now(plus_seconds=3600)}
    )
    unhealthy_breakers.invalidate()
    comparison = run_to_end(comparison)
    assert (comparison.state, comparison.failure) == ("failed", "target-unavailable")
    assert Job.objects.get(kind="comparison").state == "failed"
    assert systems.requests == []
    assert Comparison.objects.filter(state="failed", ended_at__isnull=False).exists()
    assert not Difference.objects.exists()


@pytest.mark.parametrize(
    ("status", "code", "requests"), [(403, "identity-credentials", 1), (503, "identity-unavailable", 10)]
)
def test_an_identity_service_of_which_nothing_can_be_read_ends_the_comparison(
    systems: ComparedSystems, status: int, code: str, requests: int
) -> None:
    seed(systems)
    systems.faults["users", 1] = refuse(status)
    comparison = compare()
    assert (comparison.state, comparison.failure) == ("failed", code)
    assert systems.requests.count("GET /users") == requests
    assert not ComparisonRecord.objects.exists()


def test_a_target_that_refuses_its_list_and_each_record_ends_the_comparison(systems: ComparedSystems) -> None:
    seed(systems)
    systems.faults["customers", 0] = refuse(401)
    systems.refuses_records = True
    comparison = compare()
    assert (comparison.state, comparison.failure) == ("failed", "target-credentials")


@pytest.mark.submission
def test_what_stays_fewer_is_no_gap_the_next_time(systems: ComparedSystems) -> None:
    for number in range(30):
        systems.add_pair(number, active=number < 18)
    assert compare().is_complete is True
    for number in range(18, 30):
        systems.users.pop(f"U{number:02}")
    assert compare().identity_gap == "fewer-than-before"
    comparison = compare()
    assert (comparison.identity_gap, comparison.counts["in-step-removed"]) == ("", 12)
