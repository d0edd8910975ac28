"""Rules over the order of entries: a step that nobody decided is found, although each row agrees with its entries.

The rows and entries are those that the engine itself writes after a change by SQL; other tests change what is shown.
"""

from pathlib import Path
from typing import Any

import pytest

from exports.bundle.shipped import check_rows
from exports.row_checks.nightly_rows import find_row_faults
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Delivery, Route
from tests.support.builders.exports import a_finished_export, unpack_export
from tests.support.builders.history import a_replay
from tests.support.hub import Hub
from tests.support.people import person
from webhooks.models import State

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


@pytest.fixture
def held(hub: Hub) -> Delivery:
    """A deletion that is held, because its route may delete nothing."""
    routes().update(max_removals=0, when_deleted=Route.DeletionPolicy.DELETE)
    create_person(hub)
    assert delete_person(hub) == 202
    return Delivery.objects.get(state=State.HELD)


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


@pytest.mark.parametrize("state", [State.PENDING, State.RETRYING])
@pytest.mark.parametrize("names_replay", [False, True])
def test_a_held_deletion_that_was_approved_by_sql_is_found(
    held: Delivery, tmp_path: Path, state: str, names_replay: bool
) -> None:
    replay = a_replay(person()) if names_replay else None
    release(held, state=state, replay=replay)
    for faults in faults_of_all_checks(tmp_path):
        assert any(fault.startswith("[sequence-broken] ") for fault in faults)
        assert all("attempt.started" in fault or "on request" in fault for fault in faults), faults


STATES_AFTER_HELD = {
    "attempt.started": {"attempt": "a", "number": 2, "cause": "retry"},
    "attempt.unknown": {"attempt": "a", "code": "interrupted"},
    "attempt.succeeded": {"attempt": "a", "state": "succeeded", "code": "succeeded"},
    "delivery.covered": {"state": "succeeded", "code": "succeeded"},
    "delivery.postponed": {"code": "target-paused"},
    "delivery.given_up": {},
    "delivery.reopened": {"cause": "recheck"},
}
DECISIONS = {
    **dict.fromkeys(("delivery.approved", "delivery.record-linked", "delivery.record-approved"), {}),
    **dict.fromkeys(("delivery.closed", "delivery.done-by-hand", "delivery.superseded"), {}),
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
