"""All records of a target are linked again by their external ids: a preview first, which changes nothing."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from audit.entries.acting_person import ActingPerson
from audit.models import Entry
from sync.deliveries.routes import resolved_routes
from sync.models import Connection, Job, JobState, Link, MappingVersion, Relinking
from sync.operations import relink_job
from sync.operations.relink_requests import (
    RelinkingRefused,
    apply_preview,
    cancel_relinking,
    newest_relinking,
    request_preview,
)
from tests.support.builders.bulk_replays import staff_user
from tests.support.changed_ids import (
    change_ids,
    create_people,
    linked_ids,
    post_event,
    record_ids,
    records_of,
)
from tests.support.hub import Hub
from tests.support.jobs import die_three_times, end_leases, run_jobs

pytestmark = pytest.mark.concurrent


def person() -> ActingPerson:
    return ActingPerson(User.objects.filter(username="decider").first() or staff_user("decider"))


def shop() -> Connection:
    return Connection.objects.get(slug="shop")


def preview() -> Relinking:
    request_preview(shop(), person(), "restored")
    run_jobs("relink")
    return newest()


def newest() -> Relinking:
    run = newest_relinking(shop())
    assert run is not None
    return run


def apply() -> dict[str, int]:
    """Apply the preview that is ready. Returns what the run has counted."""
    apply_preview(newest(), person())
    run_jobs("relink")
    run = newest()
    assert run.state == "done"
    return dict(run.counts)


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I26")
@pytest.mark.parametrize("kind", ["exchange", "shift", "import"])
def test_each_link_gets_the_record_that_bears_its_id(hub: Hub, kind: str) -> None:
    people = create_people(hub, 5)
    before = linked_ids(people)
    change_ids(hub, kind)
    after = record_ids(hub, people)
    moved = [user for user in people if before[user] != after[user]]
    assert len(moved) >= 4
    run = preview()
    expected = {"relinked": len(moved)} | ({"stays": 1} if len(moved) == 4 else {})
    assert (run.state, run.counts, linked_ids(people)) == ("ready", expected, before)
    shown = {one.link.entity_id: (one.record_before, one.record_after) for one in run.examples.all()}
    assert shown == {user: (before[user], after[user]) for user in moved}
    # Applying counts anew: a link may lead to another record by now.
    assert apply() == expected
    assert linked_ids(people) == after
    assert Entry.objects.filter(action="link.replaced").count() == len(moved)
    assert Entry.objects.filter(action="connection.relinked").count() == 1
    writes = len(hub.writes())
    assert [post_event(hub, user)[0] for user in people] == [200] * 5
    assert len(hub.writes()) == writes
    assert set(records_of(hub, people)) == set(people)


def test_a_link_stays_where_no_record_bears_its_id(hub: Hub) -> None:
    people = create_people(hub, 4)
    before = linked_ids(people)
    change_ids(hub, "clear")
    lost = records_of(hub, [])
    assert (preview().counts, lost) == ({"held": 4}, {})
    assert (apply(), linked_ids(people)) == ({"held": 4}, before)
    assert post_event(hub, people[0])[0] == 202


@pytest.mark.submission
def test_a_record_that_is_gone_is_told_apart_from_one_that_cannot_be_read(hub: Hub) -> None:
    people = create_people(hub, 3)
    hub.shop.catalogue.delete_record("customers", record_ids(hub, people)[people[0]])
    assert preview().counts == {"absent": 1, "stays": 2}
    cancel_relinking(newest(), person())
    hub.shop.faults.add("hide")
    assert preview().counts == {"held": 3}
    assert len(linked_ids(people)) == 3


@pytest.mark.submission
def test_a_link_costs_a_read_and_a_search_after_an_import(hub: Hub) -> None:
    """That other records can be read is proven once for several links."""
    create_people(hub, 8)
    change_ids(hub, "import")
    before = len(hub.shop.read_journal())
    assert preview().counts == {"relinked": 8}
    assert len(hub.shop.read_journal()) - before <= 2 * 8 + 6


@pytest.mark.submission
def test_links_that_never_showed_an_id_and_mappings_without_one_stay(hub: Hub) -> None:
    """Such links stand alone: neither the target nor the mapping says whose record it is."""
    people = create_people(hub, 2)
    Link.objects.update(external_id_field=None)
    change_ids(hub, "clear")
    assert preview().counts == {"stays": 2}
    cancel_relinking(newest(), person())
    for version in MappingVersion.objects.filter(declaration__fields__has_key="email"):
        match = {name: rule for name, rule in version.declaration["match"].items() if name != "external_id"}
        declaration = {**version.declaration, "match": match}
        MappingVersion.objects.filter(pk=version.pk).update(declaration=declaration)
    resolved_routes.invalidate()
    assert (preview().counts, len(linked_ids(people))) == ({"unchecked": 2}, 2)


@pytest.mark.submission
def test_an_interrupted_run_continues_after_the_last_link(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relink_job, "CHUNK_SIZE", 2)
    people = create_people(hub, 5)
    change_ids(hub, "import")
    assert preview().counts == {"relinked": 5}
    apply_preview(newest(), person())
    answers = iter([True, True, True, True, False])
    run_jobs("relink", should_continue=lambda: next(answers, False))
    stopped = newest()
    assert (stopped.state, stopped.counts["relinked"] < 5) == ("linking", True)
    run_jobs("relink")
    assert (newest().state, newest().counts) == ("done", {"relinked": 5})
    assert linked_ids(people) == record_ids(hub, people)


@pytest.mark.submission
def test_a_run_that_lost_its_lease_writes_nothing(hub: Hub) -> None:
    create_people(hub, 2)
    change_ids(hub, "shift")
    request_preview(shop(), person(), "restored")
    die_three_times("relink")
    assert (newest().state, newest().counts) == ("failed", {})


@pytest.mark.submission
def test_a_cancelled_run_writes_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    people = create_people(hub, 2)
    before = linked_ids(people)
    change_ids(hub, "shift")
    preview()
    apply_preview(newest(), person())
    decide = relink_job.decide_link

    def cancel_first(*arguments: Any) -> Any:
        if newest().is_open:
            cancel_relinking(newest(), person())
        return decide(*arguments)

    monkeypatch.setattr(relink_job, "decide_link", cancel_first)
    run_jobs("relink")
    assert (newest().state, linked_ids(people)) == ("cancelled", before)
    with pytest.raises(RelinkingRefused):
        apply_preview(newest(), person())


@pytest.mark.submission
def test_a_target_that_cannot_be_read_is_tried_again(hub: Hub) -> None:
    create_people(hub, 3)
    hub.shop.faults.add("error", status=503)
    run = preview()
    assert (run.state, run.problem, run.counts) == ("previewing", "target-unavailable", {})
    assert Job.objects.get(kind=relink_job.RELINK.name).state == JobState.WAITING
    hub.shop.faults.clear()
    end_leases()
    run_jobs("relink")
    assert (newest().state, newest().problem, newest().counts) == ("ready", "", {"stays": 3})


def test_a_connection_has_one_open_run_and_must_be_a_target(hub: Hub) -> None:
    request_preview(shop(), person(), "restored")
    with pytest.raises(RelinkingRefused, match="already open"):
        request_preview(shop(), person(), "again")
    with pytest.raises(RelinkingRefused, match="target"):
        request_preview(Connection.objects.get(side="identity"), person(), "restored")
    assert Relinking.objects.count() == 1
