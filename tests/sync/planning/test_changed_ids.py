"""Whatever happens to the ids of a target: no record of another person is changed, no deletion is reported that was not
done, and nobody gets a second record. By the page of the shop and by SQL on links, with many people at once; what a
single event does is held by `test_proven_links.py`.
"""

from typing import Any

import pytest

from audit.entries.acting_person import ActingPerson
from sync.deliveries.routes import resolved_routes
from sync.models import Connection, Delivery, Link, Route
from sync.operations.ids_changed import pause_changed_targets
from sync.operations.relink_requests import apply_preview, newest_relinking, request_preview
from tests.support.builders.bulk_replays import staff_user
from tests.support.changed_ids import (
    change_ids,
    create_people,
    exchange_links,
    linked_ids,
    post_event,
    record_ids,
    seed_people,
)
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from tests.support.rows import in_submission

pytestmark = pytest.mark.concurrent

MANY = 300
KINDS = ("exchange", "shift", "import", "reuse", "clear", "links")
# After these changes some people, or all, have no record any more that bears their id: their events wait.
LOSING = ("reuse", "clear")


def set_up(hub: Hub, number: int) -> list[str]:
    # Without limits for deletions, which would hold most of them.
    Route.objects.update(when_deleted=Route.DeletionPolicy.DEACTIVATE, max_removals=None)
    resolved_routes.invalidate()
    return create_people(hub, number) if number < MANY else seed_people(hub, number)


def apply_change(hub: Hub, kind: str, people: list[str]) -> None:
    if kind == "links":
        exchange_links(people)
    else:
        change_ids(hub, kind)


def customers(hub: Hub) -> dict[str, dict[str, Any]]:
    """Return the shop's records by the owner's address: each was created with one that only its person has."""
    records = hub.shop.list_records("customers")
    by_owner = {record["email"]: record for record in records}
    assert len(by_owner) == len(records), "nobody has two records"
    return by_owner


def post_deletions_and_changes(hub: Hub, people: list[str]) -> dict[str, int]:
    """Delete every third person, change another third, and report an event of each. Returns the statuses."""
    statuses = {}
    for place, user in enumerate(people):
        if place % 3 == 0:
            hub.identity.directory.delete_record("users", user)
        elif place % 3 == 1:
            names = {"name": {"givenName": "New", "familyName": user}}
            hub.identity.directory.update_record("users", user, names, replaces=False)
        statuses[user] = post_event(hub, user, "UPDATE" if place % 3 else "DELETE")[0]
    hub.wait_until_quiet()
    return statuses


@pytest.mark.promise("I24", "I26")
@pytest.mark.parametrize("number", [6, pytest.param(MANY, marks=pytest.mark.submission)])
@pytest.mark.parametrize("kind", in_submission(KINDS, but=("shift", "clear")))
def test_no_stranger_is_changed_and_no_deletion_or_creation_is_false(
    hub: Hub, kind: str, number: int
) -> None:
    people = set_up(hub, number)
    apply_change(hub, kind, people)
    before = customers(hub)
    statuses = post_deletions_and_changes(hub, people)
    after = customers(hub)
    assert before.keys() == after.keys(), "no record was created or deleted"
    events = {f"{user.lower()}@example.com": user for user in people if statuses[user] == 200}
    changed = {owner for owner in before if before[owner] != after[owner]}
    assert changed <= events.keys(), "no record of a stranger was changed"
    for place, user in enumerate(people):
        if statuses[user] == 200:
            record = after[f"{user.lower()}@example.com"]
            assert (record["active"], record["external_id"]) == (place % 3 > 0, user)
            assert place % 3 != 1 or record["last_name"] == user
    waiting = [user for user in people if statuses[user] == 202]
    assert set(statuses.values()) <= {200, 202}
    expected = {"clear": people, "reuse": [user for user in people if user not in record_ids(hub, people)]}
    assert waiting == expected.get(kind, [])
    assert Delivery.objects.filter(state="held", code="held-external-id").count() == len(waiting)


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I26")
@pytest.mark.parametrize("number", [6, pytest.param(MANY, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in LOSING])
def test_all_links_are_made_anew_by_one_run(hub: Hub, kind: str, number: int) -> None:
    people = set_up(hub, number)
    apply_change(hub, kind, people)
    before, shop, person = customers(hub), Connection.objects.get(slug="shop"), ActingPerson(staff_user())
    request_preview(shop, person, "restored")
    run_jobs("relink")
    run = newest_relinking(shop)
    assert run is not None
    assert (run.state, sum(run.counts.values())) == ("ready", number)
    apply_preview(run, person)
    run_jobs("relink")
    assert linked_ids(people) == record_ids(hub, people)
    assert customers(hub) == before, "only links change"
    assert set(post_deletions_and_changes(hub, people).values()) == {200}
    assert not Link.objects.filter(proof_failed_at__isnull=False).exists()


def test_a_target_that_drops_the_field_holds_nothing_and_is_not_paused(hub: Hub) -> None:
    """It never shows the id: there only the link says whose record it is, as it always did."""
    hub.shop.faults.add("alter", field="external_id", stores="nothing")
    people = set_up(hub, 6)
    for _ in range(2):
        for user in people:
            hub.change_email(f"{user.lower()}@new.example", user)
            assert post_event(hub, user)[0] == 200
    hub.wait_until_quiet()
    assert pause_changed_targets() == []
    assert not Link.objects.exclude(external_id_field=None).exclude(external_id_field="").exists()
    assert len(customers(hub)) == 5 + len(people)
