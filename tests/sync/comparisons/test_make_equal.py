"""Make equal: each subject of a difference gets an event and one delivery, which plans it anew; once, whatever dies."""

from contextlib import suppress
from uuid import uuid4

import pytest

from audit.entries.acting_person import ActingPerson
from sync.comparisons import make_equal
from sync.comparisons.make_equal import make_equal_at_once, make_equal_by_schedule, select_differences
from sync.deliveries.routes import resolved_routes
from sync.erasure.erase import run_erasure
from sync.execution.executor import run_due_deliveries
from sync.models import (
    Attempt,
    Comparison,
    Connection,
    Delivery,
    Difference,
    PersonRequest,
    PersonRequestMember,
    PersonRequestState,
    ReplayPace,
    Route,
)
from sync.operations.pauses import pause_flow
from sync.replays import batches, difference_selection, filter_selection
from sync.replays.decisions import approve_replay
from sync.replays.event_selection import TooManyEvents
from sync.replays.requests import ReplayAlreadyRequested, ReplayRefused, request_replay
from tests.support.builders.bulk_replays import (
    create_person,
    send_all_due,
    staff_user,
    start_bulk_replay,
    work_replay,
)
from tests.support.builders.differences import a_comparison, a_difference, drift
from tests.support.builders.erasure import (
    confirmed_erasure,
    find_in_tables,
    invented_person,
    store_people,
)
from tests.support.builders.history import an_event
from tests.support.connections import copy_connection
from tests.support.hub import ANNA, Hub
from tests.support.people import entries
from webhooks.models import Event, SubjectKey


@pytest.fixture
def compared(hub: Hub) -> Comparison:
    """A finished comparison of the route of users."""
    return a_comparison()


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every pace fast."""
    monkeypatch.setattr(batches, "EVENTS_PER_MINUTE", dict.fromkeys(batches.EVENTS_PER_MINUTE, 60_000))


def deliver(hub: Hub) -> None:
    """Run what is due, and wait for what a thread of this process runs already."""
    run_due_deliveries()
    hub.wait_until_quiet()


def members_of(request: PersonRequest) -> dict[str, str]:
    """Return the state of each member by its entity, sent or not."""
    rows = PersonRequestMember.objects.filter(person_request=request).select_related("event")
    return {
        row.event.entity_id if row.event else row.entity_id: f"{row.state}: {row.why}"
        if row.why
        else row.state
        for row in rows
    }


def test_differences_are_made_equal_through_the_bulk_path(
    hub: Hub, compared: Comparison, hurry: None
) -> None:
    names, by = drift(hub, 3, compared), staff_user()
    selection = select_differences(by, compared, compared.route, kinds=["differs"])
    assert (selection.state, selection.total, selection.waiting_count) == ("chosen", 3, 3)
    assert not Event.objects.exists()
    request = work_replay(start_bulk_replay(by, selection))
    assert members_of(request) == dict.fromkeys(names, "succeeded")
    assert (request.events, request.deliveries, request.succeeded) == (3, 3, 3)
    assert [hub.customer(name)["email"] for name in names] == [
        f"{name.lower()}@example.com" for name in names
    ]
    for event in Event.objects.all():
        assert (event.origin, event.requested_by, event.source) == (
            "comparison",
            request.pk,
            compared.route.source,
        )
        assert (event.event_type, event.occurred_at, event.is_signed) == ("UPDATE", None, False)
        assert not event.receipts.exists()
        assert list(event.deliveries.values_list("route", flat=True)) == [compared.route_id]
    assert set(Attempt.objects.values_list("cause", "person_request")) == {("comparison", request.pk)}
    [equalised] = entries("comparison.equalised")
    assert equalised["stream"] == compared.stream
    assert equalised["details"]["person_request"] == str(request.uuid)
    assert equalised["details"]["kinds"] == ["differs"]
    made = entries("event.made")
    assert {entry["actor"] for entry in made} == {f"person:{by.pk}"}
    assert len(made) == 3


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        (["found-by-value"], "A person decides"),
        (["unlinked-record"], "without an entity"),
        (["unknown-record"], "without an entity"),
        (["unmappable"], "cannot be made equal"),
        (["unreadable"], "cannot be made equal"),
        (["out-of-scope"], "cannot be made equal"),
        (["differs", "entity-gone"], "Removals"),
        (["differs"], "Select at least one"),
    ],
)
def test_kinds_without_a_button_are_refused(compared: Comparison, kinds: list[str], sentence: str) -> None:
    a_difference(compared, "entity-gone", ANNA)
    a_difference(compared, "unknown-record", record_id="9")
    with pytest.raises(ReplayRefused, match=sentence):
        select_differences(staff_user(), compared, compared.route, kinds=kinds)
    assert not PersonRequest.objects.exists()


def test_chosen_rows_of_several_kinds_are_refused_with_a_removal(compared: Comparison) -> None:
    rows = [a_difference(compared, kind, f"E{kind}").pk for kind in ("differs", "entity-gone")]
    with pytest.raises(ReplayRefused, match="Removals"):
        select_differences(staff_user(), compared, compared.route, difference_ids=rows)
    gone = select_differences(staff_user(), compared, compared.route, difference_ids=rows[1:])
    assert PersonRequestMember.objects.get(person_request=gone).event_type == "DELETE"


def test_a_selection_takes_no_more_than_a_replay(
    compared: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        a_difference(compared, "differs", f"E{number}")
    monkeypatch.setattr(make_equal, "MAX_EVENTS", 2)
    with pytest.raises(TooManyEvents):
        select_differences(staff_user(), compared, compared.route, kinds=["differs"])
    assert not PersonRequest.objects.exists()


def test_a_selection_is_filled_in_batches_by_the_next_process(
    compared: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds that the stored position survives a process that died between two batches."""
    for number in range(5):
        a_difference(compared, "differs", f"E{number}")
    a_difference(compared, "differs", "E0", record_id="4711")
    monkeypatch.setattr(difference_selection, "BATCH_SIZE", 2)
    monkeypatch.setattr(filter_selection, "_REQUEST_SECONDS", 0.0)
    selection = select_differences(staff_user(), compared, compared.route, kinds=["differs"])
    assert (selection.state, selection.total) == ("choosing", 2)
    work_replay(selection, PersonRequestState.CHOSEN)
    assert selection.total == 5
    assert len(members_of(selection)) == 5


def test_a_second_click_selects_nothing_twice(compared: Comparison) -> None:
    a_difference(compared, "differs", ANNA)
    by, key = staff_user(), uuid4()
    first, second = (
        select_differences(by, compared, compared.route, kinds=["differs"], key=key) for _ in range(2)
    )
    assert first == second
    assert PersonRequestMember.objects.count() == 1


def test_a_comparison_that_does_not_fit_its_route_is_refused(compared: Comparison) -> None:
    a_difference(compared, "differs", ANNA)
    Comparison.objects.update(state="running")
    with pytest.raises(ReplayRefused, match="not finished"):
        select_differences(staff_user(), Comparison.objects.get(), compared.route, kinds=["differs"])
    other = Route.objects.exclude(entity_type="USER").filter(source=compared.route.source)[0]
    with pytest.raises(ReplayRefused, match="changed since"):
        select_differences(staff_user(), compared, other, kinds=["differs"])


@pytest.mark.submission_rows(1)
@pytest.mark.parametrize(
    ("killing", "state", "sent"),
    [("_update_counts", "waiting", 0), ("append_entries", "waiting", 0), ("defer_to_workers", "sent", 2)],
)
def test_what_a_killed_worker_sent_is_made_once(
    hub: Hub,
    compared: Comparison,
    hurry: None,
    monkeypatch: pytest.MonkeyPatch,
    killing: str,
    state: str,
    sent: int,
) -> None:
    names, by = drift(hub, 2, compared), staff_user()
    request = start_bulk_replay(by, select_differences(by, compared, compared.route, kinds=["differs"]))
    with monkeypatch.context() as broken:
        broken.setattr(batches, killing, killed)
        with pytest.raises(Killed):
            send_all_due()
    assert set(members_of(request).values()) == {state}
    assert Event.objects.count() == Delivery.objects.count() == sent
    deliver(hub)
    assert work_replay(request).succeeded == 2
    assert sorted(Event.objects.values_list("entity_id", flat=True)) == names
    assert len(hub.writes()) == 2


class Killed(BaseException):
    """What a signal does to a process."""


def killed(*_: object, **__: object) -> None:
    raise Killed


def test_entities_in_delivery_and_in_older_requests_are_skipped(
    hub: Hub, compared: Comparison, hurry: None
) -> None:
    drift(hub, 3, compared)
    hub.post_signed({"id": "PERSON0", "entityType": "USER", "eventType": "UPDATE", "respond": "ack"})
    hub.wait_until_quiet()
    Delivery.objects.update(state="retrying", due_at=None, settled_at=None)
    by = staff_user()
    [row] = Difference.objects.filter(entity_id="PERSON1")
    older = select_differences(by, compared, compared.route, difference_ids=[row.pk])
    start_bulk_replay(by, older)
    newer = select_differences(by, compared, compared.route, kinds=["differs"])
    assert members_of(newer) == {
        "PERSON0": "skipped: in-delivery",
        "PERSON1": "skipped: other-replay",
        "PERSON2": "waiting",
    }
    work_replay(start_bulk_replay(by, newer))
    assert work_replay(older).succeeded == newer.succeeded == 1


def test_the_rules_are_checked_again_before_sending(hub: Hub, compared: Comparison, hurry: None) -> None:
    drift(hub, 2, compared)
    by = staff_user()
    request = start_bulk_replay(by, select_differences(by, compared, compared.route, kinds=["differs"]))
    Route.objects.filter(pk=compared.route_id).update(is_enabled=False)
    assert members_of(work_replay(request)) == dict.fromkeys(("PERSON0", "PERSON1"), "skipped: unrouted")
    assert not Event.objects.exists()


def test_more_than_the_limit_needs_a_second_person(hub: Hub, compared: Comparison, hurry: None) -> None:
    drift(hub, 2, compared)
    by = staff_user()
    selection = select_differences(by, compared, compared.route, kinds=["differs"])
    request = start_bulk_replay(by, selection, approval_limit=1)
    assert request.state == PersonRequestState.AWAITING
    assert not entries("comparison.equalised")
    assert approve_replay(request, ActingPerson(staff_user(), ""))
    assert work_replay(request).succeeded == 2
    assert len(entries("comparison.equalised")) == 1


def test_one_subject_is_made_equal_at_once(hub: Hub, compared: Comparison) -> None:
    create_person(hub, "NEVERSEEN")
    by, key = staff_user(), uuid4()

    def click() -> object:
        return make_equal_at_once(
            compared.route, "NEVERSEEN", "UPDATE", by=by, reason="asked", key=key, comparison=compared
        )

    click()
    with pytest.raises(ReplayAlreadyRequested):
        click()
    deliver(hub)
    assert hub.customer("NEVERSEEN")["email"] == "neverseen@example.com"
    request = PersonRequest.objects.get()
    assert (request.uuid, request.events, request.deliveries, request.reason) == (key, 1, 1, "asked")
    assert Event.objects.get().requested_by == request.pk
    assert SubjectKey.objects.count() == 1
    assert len(entries("comparison.equalised")) == 1


@pytest.mark.parametrize(
    ("entity_id", "values", "sentence"),
    [
        ("E1", {"reason": " "}, "Enter a reason"),
        ("", {}, "Enter the id"),
        ("~" + "0" * 64, {}, "Enter the id"),
        ("E" * 129, {}, "Enter the id"),
        ("E1", {"event_type": "CREATE"}, "Enter the id"),
    ],
)
def test_what_cannot_be_made_equal_at_once_is_refused(
    compared: Comparison, entity_id: str, values: dict[str, str], sentence: str
) -> None:
    words = {"reason": "asked", "event_type": "UPDATE", **values}
    with pytest.raises(ReplayRefused, match=sentence):
        make_equal_at_once(
            compared.route, entity_id, words["event_type"], by=staff_user(), reason=words["reason"]
        )
    assert not Event.objects.exists()
    assert not PersonRequest.objects.exists()


def test_a_subject_in_delivery_is_not_made_equal_beside_it(hub: Hub, compared: Comparison) -> None:
    create_person(hub, "TWICE")
    make_equal_at_once(compared.route, "TWICE", "UPDATE", by=staff_user(), reason="first")
    hub.wait_until_quiet()
    Delivery.objects.update(state="retrying", due_at=None, settled_at=None)
    with pytest.raises(ReplayAlreadyRequested, match="has not ended"):
        make_equal_at_once(compared.route, "TWICE", "UPDATE", by=staff_user(), reason="second")
    assert Event.objects.count() == PersonRequest.objects.count() == 1


def test_a_schedule_makes_each_difference_equal_once(hub: Hub, compared: Comparison) -> None:
    names = drift(hub, 2, compared)
    repair = make_equal_by_schedule(compared.route, compared, Difference.objects.all())
    assert [difference.entity_id for difference in repair.differences] == names
    again = make_equal_by_schedule(compared.route, compared, Difference.objects.all())
    assert not again.differences
    deliver(hub)
    assert [hub.customer(name)["email"] for name in names] == [
        f"{name.lower()}@example.com" for name in names
    ]
    assert set(Event.objects.values_list("origin", "requested_by")) == {("comparison", None)}
    assert set(Attempt.objects.values_list("cause", "person_request")) == {("comparison", None)}
    assert set(Difference.objects.values_list("is_repaired", flat=True)) == {True}
    [equalised] = entries("comparison.equalised")
    assert (equalised["actor"], equalised["details"]["sent"]) == ("system", 2)
    assert equalised["details"]["set_by"] == "system"


def test_a_schedule_removes_nothing_and_has_a_limit(compared: Comparison) -> None:
    gone = a_difference(compared, "entity-gone", ANNA)
    with pytest.raises(ReplayRefused, match="only changed and missing"):
        make_equal_by_schedule(compared.route, compared, [gone])
    with pytest.raises(ReplayRefused, match="at most 100"):
        make_equal_by_schedule(compared.route, compared, [gone] * 101)
    assert not Event.objects.exists()


def test_an_erasure_leaves_no_member_that_names_the_person(
    hub: Hub, compared: Comparison, hurry: None
) -> None:
    """Holds that neither a selection, nor a request under way, names or sends an entity that was erased."""
    person = invented_person(1)
    store_people([person])
    drift(hub, 1, compared)
    a_difference(compared, "differs", person.entity_id)
    by = staff_user()
    selected, other = (select_differences(by, compared, compared.route, kinds=["differs"]) for _ in range(2))
    started = start_bulk_replay(by, other)
    erasure = confirmed_erasure(person)
    assert person.entity_id not in members_of(
        select_differences(by, compared, compared.route, kinds=["differs"])
    )
    assert run_erasure(erasure)
    erasure.refresh_from_db()
    assert erasure.counts["members"] == 2
    assert find_in_tables([person]) == set()
    assert sorted(members_of(selected).values()) == ["skipped: erased", "waiting"]
    assert work_replay(started).skipped == 1
    assert set(Event.objects.filter(origin="comparison").values_list("entity_id", flat=True)) == {"PERSON0"}


def test_an_event_that_was_made_is_replayed_on_its_own_route_only(hub: Hub, compared: Comparison) -> None:
    other = Route.objects.get(pk=compared.route_id)
    shop = copy_connection(Connection.objects.get(pk=other.target_id), "second-shop")
    other.pk, other.slug, other.target = None, "", shop
    other.save()
    resolved_routes.invalidate()
    create_person(hub, "TWOROUTES")
    make_equal_at_once(compared.route, "TWOROUTES", "UPDATE", by=staff_user(), reason="asked")
    deliver(hub)
    event = Event.objects.get()
    request_replay([event], by=staff_user(), reason="again")
    deliver(hub)
    assert list(event.deliveries.values_list("route", flat=True)) == [compared.route_id]
    assert list(Attempt.objects.order_by("pk").values_list("cause", flat=True)) == ["comparison", "replay"]
    bare = an_event(7, source=compared.route.source, entity_type="USER", origin="comparison")
    assert not request_replay([bare], by=staff_user(), reason="once more").deliveries


def test_a_paused_route_holds_what_a_schedule_made_and_not_what_a_person_requested(
    hub: Hub, compared: Comparison
) -> None:
    drift(hub, 1, compared)
    create_person(hub, "ASKED")
    pause_flow(compared.route, "the shop is counted", staff_user())
    resolved_routes.invalidate()
    make_equal_by_schedule(compared.route, compared, Difference.objects.all())
    make_equal_at_once(compared.route, "ASKED", "UPDATE", by=staff_user(), reason="asked")
    deliver(hub)
    assert hub.customer("ASKED") is not None
    [held] = Delivery.objects.filter(entity_id="PERSON0")
    assert (held.state, held.due_at) == ("pending", None)
    Delivery.objects.filter(pk=held.pk).update(state="closed")


@pytest.mark.parametrize(
    ("killing", "stored"),
    [("append_entries", 0), ("defer_to_workers", 1)],
    ids=["before the commit", "after it"],
)
@pytest.mark.parametrize("by_schedule", [False, True], ids=["at once", "by schedule"])
def test_a_process_that_dies_beside_the_commit_makes_nothing_twice(
    hub: Hub,
    compared: Comparison,
    monkeypatch: pytest.MonkeyPatch,
    killing: str,
    stored: int,
    *,
    by_schedule: bool,
) -> None:
    [name], by, key = drift(hub, 1, compared), staff_user(), uuid4()

    def act() -> None:
        if by_schedule:
            make_equal_by_schedule(compared.route, compared, Difference.objects.all())
        else:
            make_equal_at_once(compared.route, name, "UPDATE", by=by, reason="asked", key=key)

    with monkeypatch.context() as broken:
        broken.setattr(make_equal, killing, killed)
        with pytest.raises(Killed):
            act()
    assert (Event.objects.count(), len(entries("event.made"))) == (stored, stored)
    with suppress(ReplayAlreadyRequested):
        act()
    deliver(hub)
    assert Event.objects.count() == Delivery.objects.count() == len(entries("event.made")) == 1
    assert hub.customer(name)["email"] == f"{name.lower()}@example.com"
    assert len(hub.writes()) == 1


def test_one_is_made_equal_first_and_the_request_pauses(hub: Hub, compared: Comparison) -> None:
    drift(hub, 2, compared)
    by = staff_user()
    selection = select_differences(by, compared, compared.route, kinds=["differs"])
    request = start_bulk_replay(by, selection, pace=ReplayPace.FIRST)
    work_replay(request, PersonRequestState.PAUSED)
    assert (request.events, request.succeeded, request.waiting_count) == (1, 1, 1)
    assert Event.objects.get().entity_id == "PERSON0"
