"""A try counts who enters, stays in and leaves a scope, writes nothing, and continues where it was interrupted."""

import pytest
from django.utils import timezone

from sync.erasure.erase import run_erasure
from sync.jobs.claims import claim_next_job
from sync.jobs.kinds import job_kinds
from sync.jobs.running_job import JobStopped
from sync.models import ConditionTry, Job, Link, TriedEntity
from sync.scope_tries.requests import TryRefused, cancel_try, delete_old_tries, request_try
from tests.support.builders.backtests import a_mapped_event, mapping_author
from tests.support.builders.compared_systems import (
    ComparedSystems,
    add_delivery,
    change_list,
    compared_route,
    link_record,
)
from tests.support.builders.erasure import InventedPerson, confirmed_erasure
from tests.support.condition_tries import ADULTS, begin_try, example_ids, run_try, try_condition
from tests.support.connections import change_connection
from tests.support.hostile.expressions import piped
from tests.support.http.servers import Reply
from tests.support.jobs import end_leases, run_jobs
from tests.support.people import entries

pytestmark = pytest.mark.concurrent

LINKED = {"U01": 30, "U02": 12, "U03": 44, "U04": None}
UNLINKED = {"U11": 20, "U12": 5, "U13": "old"}


@pytest.fixture
def people(systems: ComparedSystems) -> ComparedSystems:
    """Adults and children, with and without a record; two whose age is unknown; two who left before."""
    for user, age in (LINKED | UNLINKED | {"U21": 9, "U22": 90}).items():
        systems.add_user(user, age=age)
    for user in LINKED:
        link_record(user, f"c{user}")
    for user in ("U21", "U22"):
        link_record(user, f"c{user}", left_scope_at=timezone.now())
    # Another identity connection or type has links of its own; an absent record is none.
    link_record("U11", "")
    return systems


def test_each_entity_enters_stays_leaves_or_cannot_be_said(people: ComparedSystems) -> None:
    row = try_condition(compared_route())
    counts = {"stay": 2, "leave": 1, "enter": 2, "outside": 1, "left": 1, "cannot-say": 2}
    assert (row.state, row.failure, row.counts) == ("done", "", counts)
    assert (row.read_count, row.read_linked, row.linked_count, row.is_complete) == (9, 4, 4, True)
    named = {"leave": ["U02"], "enter": ["U11", "U22"], "cannot-say": ["U04", "U13"], "outside": ["U12"]}
    assert example_ids(row) == {**named, "stay": ["U01", "U03"], "left": ["U21"]}
    assert people.writes == []
    assert Link.objects.filter(left_scope_at__isnull=False).count() == 2
    assert (row.count_leaving(), row.number_to_confirm(), row.count_leaving(with_left=True)) == (1, 1, 2)


def test_the_request_and_the_result_are_in_the_audit_log(people: ComparedSystems) -> None:
    row = try_condition(compared_route())
    stream = f"route:{compared_route().pk}"
    (asked,), (ended,) = entries("route.condition-tried"), entries("route.condition-try-ended")
    assert (asked["stream"], ended["stream"], ended["actor"]) == (stream, stream, "system")
    assert (asked["details"]["condition"], asked["details"]["reason"]) == (ADULTS, "a test")
    assert (ended["details"]["counts"]["leave"], ended["details"]["linked"]) == (1, 4)
    assert asked["details"]["try"] == ended["details"]["try"] == str(row.uuid)


@pytest.mark.parametrize("died_after", [1, 2])
def test_a_try_continues_after_the_last_page_that_was_stored(
    people: ComparedSystems, died_after: int
) -> None:
    row, asked = begin_try(compared_route()), []

    def dies() -> bool:
        asked.append(True)
        return len([one for one in people.requests if "/users" in one]) < died_after

    job = claim_next_job(job_kinds()["condition-try"])
    assert job is not None
    with pytest.raises(JobStopped):
        job.kind.run(job, dies)
    end_leases()
    row.refresh_from_db()
    assert (row.state, row.read_count) == ("running", 3 * died_after)
    run_try(row)
    assert (row.state, row.read_count, sum(row.counts.values())) == ("done", 9, 9)
    assert len(people.requests) == 3


def test_a_page_that_fails_is_tried_again_and_a_list_that_stays_broken_says_nothing(
    people: ComparedSystems,
) -> None:
    people.faults["users", 2] = lambda _: Reply(500, {})
    row = begin_try(compared_route())
    run_jobs("condition-try")
    row.refresh_from_db()
    assert (row.state, row.problem, row.read_count) == ("waiting", "identity-unavailable", 3)
    run_try(row)
    assert (row.state, row.failure) == ("failed", "identity-unavailable")
    assert Job.objects.get(kind="condition-try").state == "failed"
    people.faults.clear()
    assert try_condition(compared_route()).state == "done"


@pytest.mark.parametrize(
    ("fault", "counted"),
    [
        (lambda _: Reply(200, {"items": [], "total": 0}), 4),
        (lambda reply: Reply(200, {"items": reply.value["items"][:1], "total": None}), 3),
        (lambda reply: Reply(200, {"items": reply.value["items"], "total": 40}), 1),
    ],
)
def test_of_a_list_that_is_cut_as_many_leave_as_of_those_that_were_read(
    people: ComparedSystems, fault: object, counted: int
) -> None:
    """An empty list must not read as "nobody leaves"."""
    people.users.pop("U01")
    people.faults["users", 1] = fault  # type: ignore[assignment]
    people.faults["users", 2] = people.faults["users", 3] = lambda _: Reply(200, {"items": [], "total": 40})
    row = try_condition(compared_route(), "entity.age > `80`")
    assert (row.state, row.is_complete) == ("done", False)
    assert row.number_to_confirm() is not None
    assert row.count_leaving() == row.number_to_confirm()


def test_a_sample_is_not_complete_and_items_are_fetched_where_the_list_has_parts(
    people: ComparedSystems,
) -> None:
    change_list("identity", complete=None, whole_items=False)
    row = try_condition(compared_route())
    assert (row.state, row.is_complete, row.read_count) == ("done", False, 9)
    assert row.counts["leave"] == 1
    assert len(people.requests) == 3 + 9


def test_without_a_list_the_entities_that_were_stored_last_are_tried(people: ComparedSystems) -> None:
    """Each entity counts once, with its newest state; one that is not stored is not outside."""
    change_list("identity", is_removed=True)
    for number, (user, age) in enumerate((("U01", 30), ("U02", 12), ("U02", 50), ("U11", 20))):
        a_mapped_event(compared_route(), {"id": user, "age": age}, number, entity_id=user)
    add_delivery("U03", "succeeded")
    row = try_condition(compared_route())
    assert (row.state, row.reads, row.is_complete) == ("done", "stored", False)
    assert example_ids(row) == {"stay": ["U01"], "leave": ["U02"], "enter": ["U11"], "cannot-say": ["U03"]}
    assert (row.read_linked, row.linked_count, row.count_leaving()) == (3, 4, 2)
    assert people.requests == []


def test_a_condition_that_costs_too_much_ends_the_try(people: ComparedSystems) -> None:
    people.users.clear()
    for number in range(12):
        people.add_user(f"U{number:02}")
    row = try_condition(compared_route(), f"{piped('[@,@][]', 40)} == entity.id")
    assert (row.state, row.failure) == ("failed", "mapping-over-budget")


def test_a_new_try_of_a_route_ends_the_one_that_is_open(people: ComparedSystems) -> None:
    first = begin_try(compared_route())
    second = begin_try(compared_route(), "entity.age > `1`")
    first.refresh_from_db()
    assert (first.state, second.state) == ("cancelled", "waiting")
    assert cancel_try(second, mapping_author())
    assert not cancel_try(second, mapping_author())
    assert not Job.objects.filter(kind="condition-try", state__in=["waiting", "running"]).exists()
    assert len(entries("route.condition-try-cancelled")) == 2


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ("", "Enter a condition"),
        ("entity.", "not valid"),
        ("webhook.data.active", "not valid"),
        ("nothing(entity.id)", "not valid"),
    ],
)
def test_what_is_no_condition_is_not_tried(systems: ComparedSystems, condition: str, sentence: str) -> None:
    with pytest.raises(TryRefused, match=sentence):
        request_try(compared_route(), condition, mapping_author(), "a test")
    assert not ConditionTry.objects.exists()


def test_a_disabled_connection_or_relayed_route_is_not_tried(systems: ComparedSystems) -> None:
    route = compared_route()
    change_connection(route.identity, is_enabled=False)
    with pytest.raises(TryRefused, match="disabled"):
        begin_try(compared_route())
    route.relays = True
    with pytest.raises(TryRefused, match="may be a part"):
        begin_try(route)


@pytest.mark.promise("I19")
def test_an_erasure_deletes_the_examples_and_a_later_try_names_the_entity_no_more(
    people: ComparedSystems,
) -> None:
    try_condition(compared_route())
    assert run_erasure(confirmed_erasure(InventedPerson("U02", "Name", "name@example.com")))
    assert not TriedEntity.objects.filter(entity_id="U02").exists()
    later = try_condition(compared_route())
    assert "U02" not in {one for ids in example_ids(later).values() for one in ids}
    assert later.counts["outside"] == 2


def test_a_try_ends_with_its_route_and_a_week_after_its_end(people: ComparedSystems) -> None:
    row = try_condition(compared_route())
    delete_old_tries()
    assert ConditionTry.objects.filter(pk=row.pk).exists()
    ConditionTry.objects.update(ended_at="2020-01-01T00:00:00Z")
    delete_old_tries()
    assert not TriedEntity.objects.exists()
    gone = begin_try(compared_route())
    ConditionTry.objects.filter(pk=gone.pk).delete()
    run_jobs("condition-try")
    assert Job.objects.get(subject=gone.pk, kind="condition-try").state == "done"
