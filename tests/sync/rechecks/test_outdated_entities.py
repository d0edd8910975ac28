"""A webhook that the identity service does not bear out yet is not lost: the entity is fetched again later.

A source may send its webhook before its own commit and wait for the answer, and a read replica may lag for minutes.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest

from sync.attempts import plan
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Delivery, Recheck
from sync.rechecks.due_rechecks import run_rechecks
from sync.rechecks.recheck_results import record_results
from tests.support.hub import ANNA, EXAMPLE, Hub
from webhooks.models import State

DELETION = {"id": ANNA, "entityType": "USER", "eventType": "DELETE"}


@pytest.fixture(autouse=True)
def _pauses(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between fetches, and let the shop know Anna."""
    monkeypatch.setattr(plan, "FETCH_RETRY_PAUSES", (0.001,))
    assert hub.post_signed(EXAMPLE).status_code == 200


def run_next_recheck(hub: Hub) -> None:
    """Let time pass until the next re-check is due, and run it."""
    for recheck in Recheck.objects.exclude(due_at=None):
        passed = timedelta(seconds=3600)
        Recheck.objects.filter(pk=recheck.pk).update(
            due_at=recheck.due_at - passed, began_at=recheck.began_at - passed
        )
    run_rechecks()
    run_due_deliveries()
    hub.wait_until_quiet()
    record_results()


@pytest.mark.submission
def test_a_deletion_that_was_reported_too_early_is_carried_out_later(hub: Hub) -> None:
    answer = hub.post_signed(DELETION)
    assert (answer.status_code, answer.json()["status"]) == (200, "unchanged")
    hub.identity.directory.delete_record("users", ANNA)
    run_next_recheck(hub)
    record = hub.customer()
    assert record is not None
    assert record["active"] is False
    assert Delivery.objects.order_by("-pk")[0].state == State.SUCCEEDED
    recheck = Recheck.objects.get()
    assert recheck.repaired_by is not None
    assert recheck.repaired_by.cause == "recheck"


@pytest.mark.submission
def test_an_entity_that_stays_after_its_deletion_was_reported_is_checked_and_left(hub: Hub) -> None:
    """An entity may have been restored, or created again with its id; and some services only mark it as deleted."""
    assert hub.post_signed(DELETION).json()["status"] == "unchanged"
    for _ in range(5):
        run_next_recheck(hub)
    assert hub.customer()["active"] is True
    assert Attempt.objects.filter(cause="recheck").count() == 1
    assert Recheck.objects.get().confirmed_at is not None
    assert not Recheck.objects.exclude(due_at=None).exists()


def test_a_confirmed_deletion_gets_no_recheck(hub: Hub) -> None:
    hub.identity.directory.delete_record("users", ANNA)
    assert hub.post_signed(DELETION).json()["status"] == "succeeded"
    assert not Recheck.objects.exists()


@pytest.mark.promise("I7")
def test_a_change_that_a_replica_shows_only_after_the_last_pause_is_delivered_later(hub: Hub) -> None:
    at = (datetime.now(UTC) + timedelta(seconds=10)).isoformat(timespec="milliseconds")
    answer = hub.post_signed(json.loads(EXAMPLE) | {"timestamp": at.replace("+00:00", "Z")})
    assert answer.json()["status"] == "unchanged"
    address = hub.change_email("anna.at.last@example.com")
    run_next_recheck(hub)
    assert hub.customer()["email"] == address


def test_a_state_as_new_as_its_event_gets_no_recheck(hub: Hub) -> None:
    hub.change_email("anna.now@example.com")
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert hub.post_signed(json.loads(EXAMPLE) | {"timestamp": at}).json()["status"] == "succeeded"
    assert not Recheck.objects.exists()
