"""A catch-up finds the changes of which no webhook was delivered: each once, and none is lost while it runs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from sync.catch_up import event_making
from sync.catch_up.catch_up_run import CatchUpRun
from sync.catch_up.schedule import begin_due_catch_ups
from sync.deliveries.routes import resolved_routes
from sync.execution.executor import run_due_deliveries
from sync.jobs.claims import claim_next_job
from sync.jobs.job_execution import run_job
from sync.jobs.kinds import job_kinds
from sync.models import Attempt, CatchUp, ChangedEntity, Delivery, Job, Route
from tests.support.builders.changing_people import (
    KIND,
    ChangingPeople,
    caught_up,
    changing_people,
    people_catch_up,
    people_route,
    run_catch_up,
    start_catch_up,
)
from tests.support.http.servers import Reply
from tests.support.hub import Hub
from tests.support.jobs import end_leases
from tests.support.people import entries
from tests.support.rows import in_submission
from webhooks.models import Event, EventOrigin

pytestmark = pytest.mark.concurrent


class Killed(BaseException):
    """The process dies here."""


def deliver(hub: Hub) -> None:
    run_due_deliveries()
    hub.wait_until_idle()


def webhook(hub: Hub, key: str) -> None:
    """Send the webhook of a person, and deliver it."""
    assert hub.post_signed({"id": key, "entityType": "USER", "eventType": "UPDATE"}).status_code == 200


def names() -> list[str]:
    return [f"P{number}" for number in range(8)]


def test_changes_without_webhooks_are_delivered_once(hub: Hub, people: ChangingPeople) -> None:
    people.change_all(*names(), ago=600)
    webhook(hub, "P1")
    row = run_catch_up()
    assert sorted(caught_up()) == [name for name in names() if name != "P1"]
    assert (row.listed, row.made, row.skipped, row.failure, row.is_running) == (8, 7, 1, "", False)
    event = Event.objects.filter(origin=EventOrigin.CATCH_UP).first()
    assert event is not None
    facts = (event.source.slug, event.event_type, event.occurred_at, event.is_signed, event.receipts.count())
    assert facts == ("aurora", "UPDATE", None, False, 0)
    (made,) = [one for one in entries("event.made") if one["stream"] == event.stream]
    assert made["details"]["origin"] == "catch-up"
    # Those that wait are not made again, nor those that were delivered.
    run_catch_up()
    deliver(hub)
    row = run_catch_up()
    assert (len(caught_up()), row.made) == (7, 0)
    customer = hub.customer("P0")
    assert customer is not None
    assert customer["first_name"] == "Given 1"
    assert set(Attempt.objects.filter(delivery__event=event).values_list("cause", flat=True)) == {"catch-up"}
    people.change("P0")
    run_catch_up()
    assert caught_up()[7:] == ["P0"]


def test_the_first_run_starts_now(hub: Hub) -> None:
    with changing_people() as people:
        people.change("OLD")
        start_catch_up(ago=0)
        assert run_catch_up().made == 0
        # The overlap reaches back to before the first run, and still leaves this out.
        assert run_catch_up().made == 0
        people.change("NEW")
        run_catch_up()
        assert caught_up() == ["NEW"]


def test_each_route_that_fetches_gets_an_event_unless_an_equal_one_was_delivered(
    hub: Hub, people: ChangingPeople
) -> None:
    Route.objects.filter(entity_type="USER").update(is_enabled=True)
    resolved_routes.invalidate()
    people.change_all("P0", "P1", ago=600)
    run_catch_up()
    made = Event.objects.filter(origin=EventOrigin.CATCH_UP).values_list("source__slug", "entity_id")
    assert sorted(made) == [(slug, key) for slug in ("aurora", "aurora-unsigned") for key in ("P0", "P1")]
    deliver(hub)
    people.change("P0", ago=5)
    # The other route writes the same by the same mapping.
    webhook(hub, "P0")
    assert run_catch_up().made == 0
    relayed = people_route("aurora-unsigned")
    Route.objects.filter(pk=relayed.pk).update(relays=True)
    Route.objects.filter(pk=people_route().pk).update(is_enabled=False)
    resolved_routes.invalidate()
    people.change("P1")
    begin_due_catch_ups()
    assert (CatchUp.objects.count(), len(caught_up())) == (0, 4)


@pytest.mark.parametrize("order", in_submission(["id", "-changed", "changed"], but=["-changed"]))
def test_a_run_makes_the_oldest_and_the_next_the_others_however_the_list_is_ordered(
    people: ChangingPeople, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    monkeypatch.setattr(event_making, "MAX_EVENTS", 3)
    monkeypatch.setattr(event_making, "_BATCH", 2)
    for age, name in enumerate(names()):
        people.change(name, ago=600 + 10 * ((7 * age) % 8))
    by_time = lambda person: datetime.fromisoformat(person["changed"]).timestamp()  # noqa: E731
    people.order = {
        "id": lambda person: person["id"],
        "changed": by_time,
        "-changed": lambda person: -by_time(person),
    }[order]
    oldest_first = [name for name, _ in sorted(people.people.items(), key=lambda item: by_time(item[1]))]
    made = [run_catch_up().made for _ in range(4)]
    assert (made, caught_up()) == ([3, 3, 2, 0], oldest_first)


def test_more_changes_at_one_time_than_a_run_makes_are_all_delivered(
    hub: Hub, people: ChangingPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_making, "MAX_EVENTS", 3)
    people.change_all(*names(), ago=600)
    for person in people.people.values():
        person["changed"] = people.people["P0"]["changed"]
    for _ in range(4):
        run_catch_up()
        deliver(hub)
    assert sorted(caught_up()) == names()


TIMES: list[dict[str, Any]] = [{"dates_changes": False}, {"says_date": False}, {"timespec": "seconds"}]


@pytest.mark.parametrize("times", in_submission(TIMES, but=TIMES[:1]))
def test_changes_are_found_without_times_without_a_date_and_with_whole_seconds(
    hub: Hub, people: ChangingPeople, times: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without times of change, as many as a run makes must not be made again and again either."""
    monkeypatch.setattr(event_making, "MAX_EVENTS", 5)
    for name, value in times.items():
        setattr(people, name, value)
    people.change_all(*names(), ago=600)
    for _ in range(2):
        run_catch_up()
        deliver(hub)
    assert sorted(set(caught_up())) == names()
    people.change("P7")
    run_catch_up()
    assert caught_up()[-1] == "P7"


@pytest.mark.parametrize("minutes", in_submission([-30, 30], but=[-30]))
def test_a_clock_that_is_behind_or_ahead_loses_nothing_and_repeats_nothing(
    hub: Hub, people: ChangingPeople, minutes: int
) -> None:
    people.clock = timedelta(minutes=minutes)
    people.change_all("P0", "P1", ago=60)
    run_catch_up()
    deliver(hub)
    assert sorted(caught_up()) == ["P0", "P1"]
    assert run_catch_up().made == 0
    # Fetched half an hour after this time of change, by the hub's clock, and before it in truth.
    people.change("P0")
    run_catch_up()
    assert caught_up()[2:] == ["P0"]


def test_a_time_in_the_future_hides_no_later_change(hub: Hub, people: ChangingPeople) -> None:
    people.change("P0")
    people.people["P0"]["changed"] = "2099-01-01T00:00:00+00:00"
    run_catch_up()
    assert people_catch_up().watermark <= datetime.now(UTC) - timedelta(seconds=119)  # type: ignore[operator]
    people.change("P1")
    run_catch_up()
    assert "P1" in caught_up()


def test_what_changes_while_the_list_is_read_is_found(hub: Hub, people: ChangingPeople) -> None:
    """P0 changes after its page was read. P7, on the last page, changes later: its time must not hide that of P0."""
    people.change_all(*names(), ago=600)

    def change_meanwhile(number: int) -> None:
        if number == 3 and people.people["P0"]["version"] == 1:
            people.change("P0", ago=0)
            people.change("P7", ago=-400)

    people.before_page = change_meanwhile
    run_catch_up()
    assert people_catch_up().watermark < datetime.fromisoformat(people.people["P0"]["changed"])  # type: ignore[operator]
    deliver(hub)
    people.before_page = lambda _: None
    run_catch_up()
    deliver(hub)
    customer = hub.customer("P0")
    assert customer is not None
    assert customer["first_name"] == "Given 2"


def test_pages_that_shift_while_they_are_read_are_read_again(hub: Hub, people: ChangingPeople) -> None:
    """In the order of change, one that changes moves to the end, and another to a page that was read before."""
    people.change_all(*names(), ago=600)
    people.order = lambda person: (person["changed"], person["id"])

    def change_first(number: int) -> None:
        if number == 2 and people.people["P0"]["version"] == 1:
            people.change("P0")

    people.before_page = change_first
    run_catch_up()
    assert sorted(caught_up()) == names()
    # Where nothing moves, the list is read once.
    deliver(hub)
    people.pages.clear()
    people.order = lambda person: person["id"]
    run_catch_up()
    assert [number for number, _ in people.pages] in ([1], [1, 2], [1, 2, 3])


def test_a_page_that_fails_leaves_the_watermark_and_is_tried_again_by_the_next_run(
    hub: Hub, people: ChangingPeople
) -> None:
    run_catch_up()
    watermark = people_catch_up().watermark
    people.change_all(*names())
    people.before_page = lambda number: Reply(500, {}) if number == 2 else None
    people.pages.clear()
    first = run_catch_up()
    assert (first.failure, first.watermark, first.made) == ("identity-unavailable", watermark, 3)
    second = run_catch_up()
    assert second.failing_since == first.failing_since is not None
    people.before_page = lambda _: None
    healed = run_catch_up()
    assert (healed.failure, healed.failing_since, sorted(caught_up())) == ("", None, names())
    assert [number for number, _ in people.pages][:5] == [1, 2, 2, 2, 3]
    assert len({since for _, since in people.pages}) == 1
    assert healed.watermark is not None
    assert watermark is not None
    assert healed.watermark >= watermark


def test_a_refused_place_begins_the_list_again(people: ChangingPeople) -> None:
    people.change_all(*names(), ago=600)
    refused: list[int] = []

    def refuse_once(number: int) -> Reply | None:
        refused.append(number)
        return Reply(400, {}) if refused.count(3) == 1 and number == 3 else None

    people.before_page = refuse_once
    assert run_catch_up().failure == ""
    assert (refused, sorted(caught_up())) == ([1, 2, 3, 1, 2, 3], names())
    people.change_all(*names())
    people.before_page = lambda number: Reply(400, {}) if number == 2 else None
    assert run_catch_up().failure == "identity-rejected"


def test_ids_that_no_event_can_have_are_left_out(people: ChangingPeople) -> None:
    """One that looks like the pseudonym of an erased person must not be taken for it."""
    people.change_all("P0", "L" * 200, "~erased", "P\u200b1", ago=60)
    row = run_catch_up()
    assert (row.failure, caught_up()) == ("", ["P0"])


def test_a_place_that_another_version_stored_begins_the_list_again(people: ChangingPeople) -> None:
    people.change("P0", ago=60)
    for position in ({}, {"since": "soon"}, {"page": 3}):
        CatchUp.objects.update(position=position, is_running=True)
        assert run_catch_up().position is None
    assert caught_up() == ["P0"]


@pytest.mark.parametrize(
    ("over", "listed", "failure"),
    [
        ({"total": None, "complete": None}, 3, ""),
        ({"total": None, "complete": None, "paging": "cursor", "next": "cursor"}, 8, "list-not-complete"),
        ({"total": "`99`", "paging": "cursor", "next": "cursor"}, 8, "list-short"),
    ],
)
def test_a_list_that_may_be_cut_leaves_the_watermark(
    hub: Hub, over: dict[str, Any], listed: int, failure: str
) -> None:
    with changing_people(**over) as people:
        start_catch_up()
        people.change_all(*names()[:listed], ago=600)
        row = run_catch_up()
        assert (row.failure, row.watermark is None) == (failure, bool(failure))


def test_a_worker_that_dies_before_and_after_each_commit_changes_nothing(
    people: ChangingPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_making, "_BATCH", 2)
    people.change_all(*names(), ago=600)
    commit, require = CatchUpRun.commit, CatchUpRun.require_running
    deaths, killed = {"after": 0, "died": 0}, set()

    def die_before_or_commit(run: CatchUpRun, **values: Any) -> None:
        commit(run, **values)
        name = (*sorted(values), run.row.listed, run.row.made)
        if name not in killed:
            # The transaction is rolled back.
            killed.add(name)
            raise Killed
        deaths["after"] += 1

    def die_after_commit(run: CatchUpRun) -> None:
        require(run)
        if deaths["after"] > deaths["died"]:
            deaths["died"] = deaths["after"]
            raise Killed

    monkeypatch.setattr(CatchUpRun, "commit", die_before_or_commit)
    monkeypatch.setattr(CatchUpRun, "require_running", die_after_commit)
    for _ in range(100):
        try:
            run_catch_up()
            if not people_catch_up().is_running:
                break
        except Killed:
            end_leases()
    assert len(killed) >= 9
    row = people_catch_up()
    assert (row.is_running, row.failure, sorted(caught_up())) == (False, "", names())
    assert (row.listed, row.made, ChangedEntity.objects.count()) == (8, 8, 0)


def test_a_worker_that_lost_its_lease_writes_nothing(people: ChangingPeople) -> None:
    people.change_all("P0", "P1", ago=600)
    begin_due_catch_ups()
    slow = claim_next_job(job_kinds()[KIND])
    assert slow is not None
    end_leases()
    fast = claim_next_job(job_kinds()[KIND])
    assert fast is not None
    run_job(slow)
    assert (caught_up(), ChangedEntity.objects.count()) == ([], 0)
    run_job(fast)
    assert sorted(caught_up()) == ["P0", "P1"]
    assert Job.objects.get(kind=KIND).state == "done"


@pytest.mark.parametrize(
    ("values", "code"),
    [({"paused_at": timezone.now()}, "connection-paused"), ({"is_enabled": False}, "connection-disabled")],
)
def test_a_connection_that_is_paused_or_disabled_is_not_read(
    people: ChangingPeople, values: dict[str, Any], code: str
) -> None:
    people.change("P0", ago=600)
    identity = people_route().identity
    type(identity).objects.filter(pk=identity.pk).update(**values)
    resolved_routes.invalidate()
    row = run_catch_up()
    assert (row.failure, row.watermark, people.pages, caught_up()) == (code, None, [], [])
    type(identity).objects.filter(pk=identity.pk).update(paused_at=None, is_enabled=True)
    resolved_routes.invalidate()
    run_catch_up()
    assert caught_up() == ["P0"]


def test_deliveries_of_a_paused_route_wait_and_are_not_made_twice(hub: Hub, people: ChangingPeople) -> None:
    Route.objects.update(paused_at=timezone.now())
    resolved_routes.invalidate()
    people.change("P0", ago=600)
    for _ in range(2):
        run_catch_up()
    assert caught_up() == ["P0"]
    waiting = Delivery.objects.get(entity_id="P0")
    assert waiting.due_at is None
    Delivery.objects.filter(pk=waiting.pk).update(state="closed")


def test_an_observing_route_gets_the_changes_too_and_writes_nothing(hub: Hub, people: ChangingPeople) -> None:
    Route.objects.update(mode="observe")
    resolved_routes.invalidate()
    people.change("P0", ago=60)
    run_catch_up()
    deliver(hub)
    assert list(Delivery.objects.values_list("state", "code")) == [("ignored", "observed")]
    assert run_catch_up().made == 0
    assert hub.customer("P0") is None
