"""Promise I31: an incomplete or empty list removes nobody, also if a person then makes all that was found equal."""

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection as database

from sandbox.base.service import SandboxService
from sandbox.identity import IdentityService
from sync.comparisons.agreement import shows_in_step
from sync.models import Comparison, Connection, Route
from tests.faults.comparison.broken_lists import (
    BREAKAGES,
    Breakage,
    broken_list,
    empty_page,
    forbidden,
    nothing_at_all,
    short_page,
)
from tests.support.builders.bulk_replays import staff_user
from tests.support.compared_people import entity_of, fill_systems, person_id
from tests.support.comparisons import (
    PEOPLE,
    found_ids,
    make_everything_equal,
    people_route,
    run_comparison,
    set_list,
)
from tests.support.connections import copy_connection
from tests.support.hub import Hub
from webhooks.models import Source

pytestmark = [pytest.mark.promise("I31"), pytest.mark.concurrent]

# Of each page that is lost, more are missing than a list may have less than before.
NUMBER, PAGE, PAGES = 60, 12, 5
SIDES = {"identity": "/api/users", "target": "/api/customers"}
CASES = [
    ("identity", 1, nothing_at_all),
    ("target", 3, forbidden),
    *(
        (side, page, breakage)
        for side in SIDES
        for page in range(1, PAGES + 1)
        for breakage in BREAKAGES
        if (side, page, breakage) not in (("identity", 1, nothing_at_all), ("target", 3, forbidden))
    ),
]


@pytest.fixture
def by(hub: Hub) -> User:
    return staff_user()


@pytest.fixture
def people(hub: Hub, settings: Any) -> Hub:
    """Return a hub whose two systems hold the same people, in lists of five pages."""
    settings.ABSENCE_CONFIRM_SECONDS = 0.0
    fill_systems(hub.identity, hub.shop, NUMBER, execute)
    route = people_route()
    set_list(route.identity, "USER", size=PAGE)
    set_list(route.target, "USER", size=PAGE)
    return hub


def execute(statement: str) -> None:
    with database.cursor() as cursor:
        cursor.execute(statement)


def assert_nobody_removed(hub: Hub, before: list[dict[str, Any]]) -> None:
    """The shop has the same customers, all of them active, and was asked for no deletion."""
    assert [entry for entry in hub.writes() if entry["method"] == "DELETE"] == []
    assert [entry for entry in hub.writes() if (entry["body"] or {}).get("active") is False] == []
    assert hub.shop.list_records("customers") == before


def side_of(hub: Hub, side: str) -> SandboxService:
    return hub.identity if side == "identity" else hub.shop


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(("side", "page", "breakage"), CASES)
def test_a_list_that_breaks_off_removes_nobody(
    people: Hub, by: User, side: str, page: int, breakage: Breakage
) -> None:
    before = people.shop.list_records("customers")
    # An earlier comparison knows how many there were.
    assert shows_in_step(run_comparison())
    with broken_list(side_of(people, side), SIDES[side], page, breakage):
        comparison = run_comparison()
        make_everything_equal(people, comparison, by)
    assert_says_so(comparison, side)
    assert "entity-gone" not in found_ids(comparison)
    assert "missing-record" not in found_ids(comparison)
    assert_nobody_removed(people, before)


def assert_says_so(comparison: Comparison, side: str) -> None:
    """The side that broke is named as incomplete, or the comparison failed; what rests on it was not reported."""
    if comparison.state == "done":
        assert comparison.identity_gap if side == "identity" else comparison.target_gap
    else:
        assert comparison.failure
    kinds = found_ids(comparison).keys()
    assert not kinds & ({"entity-gone"} if side == "identity" else {"unlinked-record", "unknown-record"})


@pytest.mark.submission
@pytest.mark.parametrize("breakage", [nothing_at_all, short_page])
def test_the_first_comparison_of_a_list_that_ends_early_removes_nobody(
    people: Hub, by: User, breakage: Breakage
) -> None:
    before = people.shop.list_records("customers")
    with broken_list(people.identity, SIDES["identity"], 1, breakage):
        comparison = run_comparison()
        make_everything_equal(people, comparison, by)
    assert "entity-gone" not in found_ids(comparison)
    assert_nobody_removed(people, before)


@pytest.mark.submission
@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("breakage", [empty_page, nothing_at_all])
def test_a_service_that_shows_nothing_to_these_credentials_removes_nobody(
    people: Hub, by: User, breakage: Breakage, status: int
) -> None:
    """Neither the list nor a single person can be seen: nothing proves that they are gone."""
    before = people.shop.list_records("customers")
    people.identity.faults.add("hide" if status == 404 else "error", status=status, path="/api/users/")
    with broken_list(people.identity, SIDES["identity"], 1, breakage):
        comparison = run_comparison()
        make_everything_equal(people, comparison, by)
    assert "entity-gone" not in found_ids(comparison)
    assert_nobody_removed(people, before)


@pytest.mark.submission
@pytest.mark.parametrize("side", SIDES)
def test_a_sample_is_not_taken_for_a_complete_list(people: Hub, by: User, side: str) -> None:
    """A list that does not say that it is complete, and shows one page of five."""
    before = people.shop.list_records("customers")
    route = people_route()
    removed = dict.fromkeys(("complete", "start", "first", "count", "size", "total"))
    set_list(route.identity if side == "identity" else route.target, "USER", **removed)
    with broken_list(side_of(people, side), SIDES[side], 1, short_page):
        comparison = run_comparison()
        make_everything_equal(people, comparison, by)
    assert_says_so(comparison, side)
    assert "missing-record" not in found_ids(comparison)
    assert_nobody_removed(people, before)


@pytest.mark.submission
def test_the_people_of_another_identity_service_are_not_removed(people: Hub, by: User) -> None:
    """Two services have some of the same ids, and their people are customers of one shop."""
    with IdentityService() as other:
        shared, own = range(3), range(NUMBER, NUMBER + 4)
        other.store.clear_collections("users")
        for number in (*shared, *own):
            emails = [{"address": f"other{number}@example.com", "verified": True}]
            other.store.put_record("users", person_id(number), entity_of(number) | {"emails": emails})
        add_route_of(other)
        for slug in (PEOPLE, "other-user-shop"):
            make_everything_equal(people, run_comparison(slug), by, slug)
        before = people.shop.list_records("customers")
        assert len(before) >= NUMBER + len(own), "the people of the other service were not created"
        for slug in (PEOPLE, "other-user-shop"):
            comparison = run_comparison(slug)
            assert (comparison.identity_gap, comparison.target_gap) == ("", "")
            assert "entity-gone" not in found_ids(comparison)
            make_everything_equal(people, comparison, by, slug)
    assert [entry for entry in people.writes() if entry["method"] == "DELETE"] == []
    after = {record["id"]: record["active"] for record in people.shop.list_records("customers")}
    assert after == {record["id"]: True for record in before}


def add_route_of(other: IdentityService) -> None:
    """Connect a second identity service, with a source and a route of its own, to the same shop."""
    route = people_route()
    identity = copy_connection(Connection.objects.get(pk=route.identity_id), "other", base_url=other.url)
    source = Source.objects.create(slug="other", name="Other", scheme="none")
    values = {field.attname: getattr(route, field.attname) for field in Route._meta.concrete_fields}
    for name in ("id", "slug"):
        del values[name]
    if "uuid" in values:
        values["uuid"] = uuid.uuid4()
    Route.objects.create(**values | {"source_id": source.pk, "identity_id": identity.pk})
