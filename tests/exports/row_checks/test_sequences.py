"""Rules over the order of entries: a step that nobody decided is found, although each row agrees with its entries.

The rows and entries are those that the engine itself writes after a change by SQL; other tests change what is shown.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from exports.bundle.shipped import check_rows
from exports.row_checks.nightly_rows import find_row_faults
from sync.comparisons.make_equal import make_equal_at_once
from sync.execution.executor import run_due_deliveries
from sync.limits.circuit_breaker import invalidate_breakers
from sync.models import Attempt, Breaker, Delivery, Link, Recheck, Route
from sync.operations.held_deliveries import HeldDecision, decide_held
from sync.operations.manual_links import LinkRequest, unlink_record
from sync.operations.match_decisions import MatchDecision, decide_match
from sync.operations.superseded_failures import supersede_failures
from sync.rechecks.due_rechecks import run_rechecks
from sync.replays.requests import request_replay
from tests.support.builders.exports import a_finished_export, unpack_export
from tests.support.builders.history import a_replay
from tests.support.builders.matched_records import hold_match, stranger_record
from tests.support.hub import Hub
from tests.support.people import person
from tests.support.rows import in_submission
from webhooks.models import Event, State

USER = "DOOMED1"


def post(hub: Hub, event_type: str = "UPDATE", user: str = USER) -> int:
    return hub.post({"id": user, "entityType": "USER", "eventType": event_type}).status_code


def create_person(hub: Hub, user: str = USER) -> None:
    emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
    hub.identity.directory.create_record("users", {"id": user, "username": user.lower(), "emails": emails})
    assert post(hub, "CREATE", user) == 200


def delete_person(hub: Hub, user: str = USER) -> int:
    hub.identity.directory.delete_record("users", user)
    return post(hub, "DELETE", user)


def routes() -> Any:
    return Route.objects.filter(source__slug="aurora-unsigned", entity_type="USER")


def hold_deletion(hub: Hub) -> Delivery:
    """Delete a person on a route that may delete nothing. Returns the delivery, which is held."""
    routes().update(max_removals=0, when_deleted=Route.DeletionPolicy.DELETE)
    create_person(hub)
    assert delete_person(hub) == 202
    return Delivery.objects.get(state=State.HELD)


def decide(decision: HeldDecision) -> None:
    """Decide one after the other, oldest first: two that are due at once run in any order."""
    somebody = person()
    for pk in Delivery.objects.filter(state=State.HELD).order_by("pk").values_list("pk", flat=True):
        decide_held([pk], decision, by=somebody, reason="spoken with them", key=uuid4())
        run_due_deliveries()


def replay(event: Event) -> None:
    request_replay([event], by=person(name=uuid4().hex), reason="again")
    run_due_deliveries()


def remove_customer(hub: Hub) -> None:
    customer = hub.customer(USER)
    assert customer is not None
    hub.shop.catalogue.delete_record("customers", str(customer["id"]))


@pytest.fixture
def held(hub: Hub) -> Delivery:
    return hold_deletion(hub)


def faults_of_all_checks(tmp_path: Path) -> list[list[str]]:
    """Return the faults that the nightly check, a whole export and a filtered one find."""
    folders = [
        unpack_export(a_finished_export(chosen), tmp_path / name)
        for name, chosen in (("whole", {}), ("filtered", {"entity_type": "USER"}))
    ]
    exported = [check_rows.RowChecker(str(folder)) for folder in folders]
    found = [
        [f"[{code}] {fault}" for code, fault in zip(checker.codes, checker.check_export(), strict=False)]
        for checker in exported
    ]
    return [list(find_row_faults()), *found]


def release(delivery: Delivery, **values: Any) -> None:
    """Let a held delivery run, as somebody does who can write to the database."""
    Delivery.objects.filter(pk=delivery.pk).update(
        **({"state": State.PENDING, "is_approved": True, "due_at": delivery.opened_at} | values)
    )
    run_due_deliveries()
    delivery.refresh_from_db()
    assert delivery.state == State.SUCCEEDED
    assert Attempt.objects.get(delivery=delivery, number=2).action == "deleted"


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("state", [State.PENDING, State.RETRYING])
@pytest.mark.parametrize("names_replay", [False, True])
def test_a_held_deletion_that_was_approved_by_sql_is_found(
    held: Delivery, tmp_path: Path, state: str, names_replay: bool
) -> None:
    replay = a_replay(person()) if names_replay else None
    release(held, state=state, person_request=replay)
    for faults in faults_of_all_checks(tmp_path):
        assert any(fault.startswith("[sequence-broken] ") for fault in faults)
        assert all("attempt.started" in fault or "on request" in fault for fault in faults), faults


@pytest.fixture
def deletes(hub: Hub) -> None:
    """Delete records of deleted people."""
    routes().update(when_deleted=Route.DeletionPolicy.DELETE)


def assert_found(tmp_path: Path, words: str) -> None:
    nightly, whole, _ = faults_of_all_checks(tmp_path)
    for faults in (nightly, whole):
        assert len(faults) == 1, faults
        assert faults[0].startswith("[sequence-broken] ")
        assert words in faults[0]


@pytest.mark.submission
@pytest.mark.usefixtures("deletes")
def test_a_deletion_for_an_event_that_was_none_is_found(hub: Hub, tmp_path: Path) -> None:
    """Somebody calls an update a deletion until the hub has carried it out, and takes that back."""
    create_person(hub)
    hub.identity.directory.delete_record("users", USER)
    assert post(hub) == 424
    event = Event.objects.order_by("-pk")[0]
    Event.objects.filter(pk=event.pk).update(event_type="DELETE")
    run_retries()
    assert Attempt.objects.order_by("-pk")[0].action == "deleted"
    Event.objects.filter(pk=event.pk).update(event_type="UPDATE")
    assert_found(tmp_path, "nothing proves")


@pytest.mark.submission
@pytest.mark.usefixtures("deletes")
def test_a_deletion_for_what_only_a_comparison_saw_is_found(hub: Hub, tmp_path: Path) -> None:
    """Somebody calls an event of a comparison a webhook until the hub has carried it out, and takes that back."""
    create_person(hub)
    hub.identity.directory.delete_record("users", USER)
    make_equal_at_once(routes().get(), USER, "DELETE", by=person(), reason="not listed")
    hub.wait_until_quiet()
    made = Event.objects.filter(origin="comparison")
    requested_by = made.get().requested_by
    made.update(origin="webhook", requested_by=None)
    run_retries()
    assert Attempt.objects.order_by("-pk")[0].action == "deleted"
    Event.objects.filter(event_type="DELETE").update(origin="comparison", requested_by=requested_by)
    assert_found(tmp_path, "nothing proves")


@pytest.mark.usefixtures("deletes")
def test_a_deletion_for_an_attempt_that_never_was_is_found(hub: Hub, tmp_path: Path) -> None:
    """Somebody inserts an earlier attempt that did not find the person either, and deletes it afterwards."""
    create_person(hub)
    hub.identity.directory.delete_record("users", USER)
    assert post(hub) == 424
    [attempt] = Attempt.objects.filter(code="identity-missing-unproven")
    ended = attempt.ended_at - timedelta(hours=1)
    copied = Attempt(delivery=attempt.delivery, number=90, cause="retry", started_at=ended, ended_at=ended)
    copied.outcome, copied.code, copied.mapping_version = "failed", attempt.code, attempt.mapping_version
    copied.save()
    run_retries()
    assert Attempt.objects.filter(delivery=attempt.delivery, number=2).get().action == "deleted"
    copied.delete()
    assert_found(tmp_path, "has no row")


def run_retries() -> None:
    waiting = Delivery.objects.filter(state=State.RETRYING)
    assert waiting.update(due_at=timezone.now() - timedelta(seconds=1))
    run_due_deliveries()


@pytest.mark.usefixtures("deletes")
def test_a_record_that_is_created_beside_a_linked_one_is_found(hub: Hub, tmp_path: Path) -> None:
    """Somebody deletes the link of a person, whose record the shop does not find by its external id."""
    create_person(hub)
    Link.objects.filter(entity_id=USER).delete()
    customer = hub.customer(USER)
    assert customer is not None
    other = {"external_id": "", "email": "other@example.com"}
    hub.shop.catalogue.update_record("customers", str(customer["id"]), other, replaces=False)
    assert post(hub, "CREATE") == 200
    assert Attempt.objects.order_by("-pk")[0].action == "created"
    assert_found(tmp_path, "created a record, but attempt")


STATES_AFTER_HELD: dict[str, dict[str, Any]] = {
    "attempt.started": {"attempt": "a", "number": 2, "cause": "retry"},
    "attempt.unknown": {"attempt": "a", "code": "interrupted"},
    "attempt.interrupted": {"attempt": "a", "code": "interrupted"},
    "attempt.succeeded": {"attempt": "a", "state": "succeeded", "code": "succeeded"},
    "delivery.covered": {"state": "succeeded", "code": "succeeded"},
    "delivery.postponed": {"code": "target-paused"},
    "delivery.given_up": {},
    "delivery.reopened": {"cause": "recheck"},
}
DECISIONS: dict[str, dict[str, str]] = {
    **{name: {} for name in check_rows.RELEASES},
    "delivery.reopened": {"cause": "replay"},
    # Of a re-check of an earlier attempt: they change nothing.
    "attempt.repaired": {"attempt": "b"},
    "attempt.confirmed": {"attempt": "b"},
}


@pytest.mark.pure
@pytest.mark.parametrize(
    ("action", "details", "is_found"),
    [
        *((action, details, True) for action, details in STATES_AFTER_HELD.items()),
        *((action, details, False) for action, details in DECISIONS.items()),
    ],
)
def test_only_a_decision_ends_that_a_delivery_is_held(
    action: str, details: dict[str, Any], is_found: bool
) -> None:
    log = check_rows.DeliveryLog([])
    for number, (name, values) in enumerate(
        [("delivery.covered", {"state": "held", "code": "held"}), (action, details)], start=1
    ):
        log.add_entry(
            {"action": name, "details": values, "at": "2026-03-05T12:00:00.000000Z", "stream_seq": number}
        )
    assert bool(log.undecided) == is_found


def approve(hub: Hub) -> None:
    hold_deletion(hub)
    decide(HeldDecision.APPROVE)


def reject(hub: Hub) -> None:
    hold_deletion(hub)
    decide(HeldDecision.CLOSE)


def replay_held(hub: Hub) -> None:
    event = hold_deletion(hub).event
    routes().update(max_removals=None)
    replay(event)


def replay_twice(hub: Hub) -> None:
    create_person(hub)
    for _ in range(2):
        replay(Event.objects.get(entity_id=USER))


def supersede(hub: Hub) -> None:
    """A person whose deletion is held comes back, and is updated."""
    hold_deletion(hub)
    emails = [{"address": "back@example.com", "verified": True}]
    hub.identity.directory.create_record("users", {"id": USER, "username": "back", "emails": emails})
    assert post(hub) == 200
    assert supersede_failures() == 1


def hold_both(hub: Hub) -> None:
    """A second deletion of the same person is held too, and covered by the first one's approval."""
    hold_deletion(hub)
    assert post(hub, "DELETE") == 202
    decide(HeldDecision.APPROVE)


def link_record(hub: Hub) -> None:
    delivery = hold_match(hub)
    chosen = stranger_record(hub)
    decide_match(delivery, MatchDecision.BIND, by=person(), reason="known", key=uuid4(), record_id=chosen)


def create_record(hub: Hub) -> None:
    decide_match(hold_match(hub), MatchDecision.CREATE, by=person(), reason="another one", key=uuid4())


def delete_and_create(hub: Hub) -> None:
    for _ in range(2):
        create_person(hub)
        assert delete_person(hub) == 200
    create_person(hub)


def confirm_absence(hub: Hub) -> None:
    """A person is deleted after the identity service has not returned them twice."""
    create_person(hub)
    hub.identity.directory.delete_record("users", USER)
    assert post(hub) == 424
    run_retries()


def approve_absence(hub: Hub) -> None:
    create_person(hub)
    routes().update(max_attempts=1)
    hub.identity.directory.delete_record("users", USER)
    assert post(hub) in (202, 424)
    decide(HeldDecision.APPROVE)


def cover_by_deletion(hub: Hub) -> None:
    """The attempt of an update finds that the person was deleted, as a later event says, which it covers."""
    create_person(hub)
    fault = hub.shop.faults.add("error", status=503)
    assert post(hub) == 424
    delete_person(hub)
    hub.shop.faults.clear(fault.id)
    first = Delivery.objects.filter(state=State.RETRYING).order_by("pk")[0]
    Delivery.objects.filter(state=State.RETRYING).update(due_at=timezone.now() + timedelta(minutes=5))
    Delivery.objects.filter(pk=first.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    Breaker.objects.all().delete()
    invalidate_breakers()
    run_due_deliveries()
    assert Delivery.objects.filter(covered_by__delivery=first, event__event_type="DELETE").exists()


def replace_record(hub: Hub) -> None:
    """The shop deletes a record, and the hub creates another one."""
    create_person(hub)
    remove_customer(hub)
    assert post(hub, "CREATE") == 200


def relink(hub: Hub) -> None:
    """The ids of the shop change: the hub deletes the record with the new id, and creates another one."""
    create_person(hub)
    customer = hub.customer(USER)
    assert customer is not None
    remove_customer(hub)
    moved = {name: value for name, value in customer.items() if name != "id"} | {"id": "70001"}
    hub.shop.catalogue.create_record("customers", moved)
    Link.objects.filter(entity_id=USER).update(record_id="70001")
    assert delete_person(hub) == 200
    create_person(hub)


def unlink(hub: Hub) -> None:
    create_person(hub)
    route, customer = routes().get(), hub.customer(USER)
    assert customer is not None
    request = LinkRequest(
        by=person(),
        reason="wrong",
        address="",
        identity=route.identity,
        target=route.target,
        entity_type="USER",
        entity_id=USER,
    )
    unlink_record(request, str(customer["id"]))
    remove_customer(hub)
    assert post(hub, "CREATE") == 200


def recheck(hub: Hub) -> None:
    create_person(hub)
    hub.shop.faults.add("drop", methods=["PATCH"], times=1)
    hub.change_email("anna.late@example.com", USER)
    post(hub)
    run_retries()
    Recheck.objects.exclude(due_at=None).update(due_at=timezone.now() - timedelta(seconds=1))
    run_rechecks()
    run_due_deliveries()
    run_rechecks()


HISTORIES = {
    approve: "succeeded",
    reject: "closed",
    replay_held: "succeeded",
    replay_twice: "unchanged",
    supersede: "succeeded",
    hold_both: "unchanged",
    link_record: "succeeded",
    # The shop accepts no second customer with the address.
    create_record: "dead",
    delete_and_create: "succeeded",
    confirm_absence: "succeeded",
    approve_absence: "succeeded",
    cover_by_deletion: "succeeded",
    replace_record: "succeeded",
    relink: "succeeded",
    unlink: "succeeded",
    recheck: "succeeded",
}


@pytest.mark.usefixtures("deletes")
@pytest.mark.parametrize("history", in_submission(HISTORIES, but=(approve, reject, replay_twice)))
def test_what_the_hub_does_by_itself_and_what_people_decide_is_no_fault(
    hub: Hub, tmp_path: Path, settings: Any, history: Callable[[Hub], None]
) -> None:
    """Each clean history ends as it should, and no check has a fault."""
    settings.ABSENCE_CONFIRM_SECONDS = 0.0
    history(hub)
    hub.wait_until_quiet()
    assert faults_of_all_checks(tmp_path) == [[], [], []]
    newest = Delivery.objects.exclude(state=State.SUPERSEDED).order_by("-pk")[0]
    assert newest.state == HISTORIES[history], newest.code
