"""Nothing is removed, and nothing is created anew, because a system answers 404: the absence must be proven (I24)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from config_schema.codes.reference import new_uuid
from exports.row_checks.nightly_rows import find_row_faults
from sync.attempts import plan
from sync.comparisons.make_equal import make_equal_at_once
from sync.execution.executor import run_due_deliveries
from sync.mappings.past_entities import UntestableReason, read_past_events
from sync.models import Attempt, Call, Connection, Delivery, Recheck, Route
from sync.operations.held_deliveries import HeldDecision, decide_held
from tests.support.builders.bulk_replays import staff_user
from tests.support.builders.differences import user_route
from tests.support.hub import ANNA, Hub
from webhooks.models import Event, Payload, State

ENTITY_UNPROVEN, RECORD_UNPROVEN = "identity-missing-unproven", "target-missing-unproven"


@pytest.fixture(autouse=True)
def _pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses in which a service may come to know an entity that it reported as created."""
    monkeypatch.setattr(plan, "FETCH_RETRY_PAUSES", (0.001,))


def post_event(hub: Hub, event_type: str = "UPDATE", user: str = ANNA) -> Any:
    """Post a signed webhook about a user. Returns status and document of the answer."""
    answer = hub.post_signed({"id": user, "entityType": "USER", "eventType": event_type})
    return answer.status_code, answer.json()


def run_again(hub: Hub, seconds: float = 31.0) -> Delivery:
    """Let so many seconds pass, and run what is due then. Returns the newest delivery."""
    passed = timedelta(seconds=seconds)
    for attempt in Attempt.objects.exclude(ended_at=None):
        Attempt.objects.filter(pk=attempt.pk).update(ended_at=attempt.ended_at - passed)
    Delivery.objects.filter(state=State.RETRYING).update(due_at=timezone.now() - timedelta(seconds=1))
    run_due_deliveries()
    hub.wait_until_quiet()
    return Delivery.objects.order_by("-pk")[0]


def link_anna(hub: Hub) -> dict[str, Any]:
    """Deliver a first webhook, which links Anna's record. Returns the record."""
    assert post_event(hub)[0] == 200
    record = hub.customer()
    assert record is not None
    assert record["active"] is True
    return record


def set_path(side: str, path: str, **others: Any) -> None:
    """Change the path of items of users in the settings of a connection."""
    connection = Connection.objects.get(side=side)
    users = connection.settings["entities"]["USER"]
    for user in (
        [users] if side == "identity" else [users["operations"][name] for name in ("get", "update", "delete")]
    ):
        user["path"] = path
    users |= others
    connection.save()


def mistype_path(hub: Hub) -> None:
    set_path("identity", "/api/uzers/{id}")


def hide_everything(hub: Hub) -> None:
    hub.identity.faults.add("error", status=404)


def hide_all_users(hub: Hub) -> None:
    for user in hub.identity.list_records("users"):
        hub.identity.directory.delete_record("users", user["id"])


def forbid_others(hub: Hub) -> None:
    hub.identity.directory.delete_record("users", ANNA)
    hub.identity.faults.add("error", status=403, path=f"/api/users(?!/{ANNA})")


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I24")
@pytest.mark.parametrize(
    ("break_service", "event_type"),
    [
        (mistype_path, "UPDATE"),
        (hide_everything, "CREATE"),
        (hide_all_users, "DELETE"),
        (forbid_others, "UPDATE"),
    ],
)
def test_no_record_is_removed_while_the_service_returns_no_entity(
    hub: Hub, event_type: str, break_service: Callable[[Hub], None]
) -> None:
    record = link_anna(hub)
    Route.objects.update(max_attempts=2)
    break_service(hub)
    status, document = post_event(hub, event_type)
    assert (status, document["code"], document["retrying"]) == (424, ENTITY_UNPROVEN, True)
    delivery = run_again(hub)
    assert (delivery.state, delivery.code) == (State.HELD, ENTITY_UNPROVEN)
    assert hub.customer() == record


@pytest.mark.promise("I24")
def test_an_entity_that_is_absent_after_an_update_is_removed_at_the_second_check(hub: Hub) -> None:
    link_anna(hub)
    hub.identity.directory.delete_record("users", ANNA)
    status, document = post_event(hub)
    assert (status, document["code"], document["retrying"]) == (424, ENTITY_UNPROVEN, True)
    assert run_again(hub, seconds=5).state == State.RETRYING
    assert hub.customer()["active"] is True
    assert run_again(hub).state == State.SUCCEEDED
    assert hub.customer()["active"] is False


@pytest.mark.submission
def test_the_second_check_runs_after_the_configured_time(hub: Hub, settings: Any) -> None:
    Route.objects.update(retry_base_seconds=2.0)
    settings.ABSENCE_CONFIRM_SECONDS = 7.0
    link_anna(hub)
    hub.identity.directory.delete_record("users", ANNA)
    post_event(hub)
    delivery = Delivery.objects.order_by("-pk")[0]
    assert delivery.due_at is not None
    ended_at = Attempt.objects.get(delivery=delivery).ended_at
    assert round((delivery.due_at - ended_at).total_seconds()) == 7
    assert run_again(hub, seconds=8).state == State.SUCCEEDED


def test_a_reported_deletion_is_carried_out_at_once(hub: Hub) -> None:
    link_anna(hub)
    hub.identity.directory.delete_record("users", ANNA)
    status, document = post_event(hub, "DELETE")
    assert (status, document["status"]) == (200, "succeeded")
    assert hub.customer()["active"] is False


@pytest.mark.promise("I24")
def test_what_a_comparison_saw_is_no_report_of_a_deletion(hub: Hub) -> None:
    """Holds that an event of a comparison needs the absence proven twice, also if its type is DELETE."""
    link_anna(hub)
    hub.identity.directory.delete_record("users", ANNA)
    make_equal_at_once(user_route(), ANNA, "DELETE", by=staff_user(), reason="gone for months")
    run_due_deliveries()
    hub.wait_until_quiet()
    delivery = Delivery.objects.order_by("-pk")[0]
    assert (delivery.state, delivery.code) == (State.RETRYING, ENTITY_UNPROVEN)
    assert run_again(hub, seconds=5).state == State.RETRYING
    assert hub.customer()["active"] is True
    assert run_again(hub).state == State.SUCCEEDED
    assert hub.customer()["active"] is False
    assert not [fault for fault in find_row_faults() if "sequence-broken" in fault]


def test_an_entity_that_a_comparison_missed_and_that_exists_is_updated(hub: Hub) -> None:
    link_anna(hub)
    make_equal_at_once(user_route(), ANNA, "DELETE", by=staff_user(), reason="not listed")
    run_due_deliveries()
    hub.wait_until_quiet()
    assert Delivery.objects.order_by("-pk")[0].state == State.UNCHANGED
    assert hub.customer()["active"] is True
    assert not Recheck.objects.exists()


@pytest.mark.submission
def test_an_entity_that_returns_before_the_second_check_is_updated(hub: Hub) -> None:
    link_anna(hub)
    fault = hub.identity.faults.add("error", status=404, path=f"/api/users/{ANNA}")
    assert post_event(hub)[1]["code"] == ENTITY_UNPROVEN
    hub.identity.faults.clear(fault.id)
    address = hub.change_email("anna.back@example.com")
    assert run_again(hub).state == State.SUCCEEDED
    assert (hub.customer()["email"], hub.customer()["active"]) == (address, True)


def test_a_route_that_ignores_deletions_is_no_success_without_proof(hub: Hub) -> None:
    Route.objects.update(when_deleted=Route.DeletionPolicy.IGNORE)
    hide_everything(hub)
    assert post_event(hub)[1]["code"] == ENTITY_UNPROVEN


def test_a_listed_entity_is_not_absent(hub: Hub) -> None:
    record = link_anna(hub)
    hub.identity.faults.add("error", status=404, path=f"/api/users/{ANNA}")
    for user in hub.identity.list_records("users"):
        if user["id"] != ANNA:
            hub.identity.directory.delete_record("users", user["id"])
    assert post_event(hub, "DELETE")[1]["code"] == ENTITY_UNPROVEN
    assert hub.customer() == record


def test_a_probe_proves_access_where_nothing_is_listed(hub: Hub) -> None:
    link_anna(hub)
    set_path("identity", "/api/users/{id}", list=None, probe={"path": "/api/groups"})
    hub.identity.directory.delete_record("users", ANNA)
    assert post_event(hub, "DELETE")[0] == 200
    assert hub.customer()["active"] is False


@pytest.mark.submission
def test_a_person_may_approve_an_absence_that_nothing_proves(hub: Hub) -> None:
    link_anna(hub)
    Route.objects.update(max_attempts=1)
    hide_everything(hub)
    post_event(hub)
    delivery = Delivery.objects.get(state=State.HELD)
    decide_held(
        [delivery.pk], HeldDecision.APPROVE, by=staff_user(), reason="She left in May.", key=new_uuid()
    )
    run_due_deliveries()
    hub.wait_until_quiet()
    delivery.refresh_from_db()
    assert delivery.state == State.SUCCEEDED
    assert hub.customer()["active"] is False


def test_an_outage_during_the_proof_is_reported_as_an_outage(hub: Hub) -> None:
    link_anna(hub)
    hub.identity.directory.delete_record("users", ANNA)
    hub.identity.faults.add("error", status=503, path=f"/api/users(?!/{ANNA})")
    assert post_event(hub, "DELETE")[1]["code"] == "identity-unavailable"


@pytest.mark.promise("I24")
@pytest.mark.parametrize(("event_type", "path"), [("UPDATE", None), ("DELETE", "/api/customerz/{id}")])
def test_a_target_that_does_not_return_the_record_gets_no_second_one(
    hub: Hub, event_type: str, path: str | None
) -> None:
    record = link_anna(hub)
    Route.objects.update(max_attempts=2)
    hub.change_email("anna.changed@example.com")
    if event_type == "DELETE":
        hub.identity.directory.delete_record("users", ANNA)
    if path:
        set_path("target", path)
    else:
        hub.shop.faults.add("error", status=404, methods=["GET"], path="/api/customers/.")
    status, document = post_event(hub, event_type)
    assert (status, document["code"], document["retrying"]) == (424, RECORD_UNPROVEN, True)
    delivery = run_again(hub)
    assert (delivery.state, delivery.code) == (State.HELD, RECORD_UNPROVEN)
    assert hub.customer() == record


def test_a_linked_record_that_was_deleted_is_created_again(hub: Hub) -> None:
    record = link_anna(hub)
    hub.shop.catalogue.delete_record("customers", str(record["id"]))
    status, document = post_event(hub)
    assert (status, document["results"][0]["action"]) == (200, "created")
    assert hub.customer()["id"] != record["id"]


def stored_about(user: str) -> bytes:
    """Return everything that is stored under the keys of a user, decrypted."""
    payloads = [
        *Payload.objects.filter(subject__in=[event.key.pk for event in Event.objects.filter(entity_id=user)])
    ]
    assert payloads
    return b"".join(payload.decrypt() for payload in payloads)


def refuse_items(hub: Hub) -> None:
    hub.identity.faults.add("forbid", path="/api/users/NOBODY")


@pytest.mark.submission
@pytest.mark.parametrize("refusal", [None, refuse_items], ids=["absent", "refused"])
def test_entities_read_as_proof_of_access_are_not_stored(
    hub: Hub, refusal: Callable[[Hub], None] | None
) -> None:
    """An erasure of the other would not find it there."""
    link_anna(hub)
    if refusal is not None:
        refusal(hub)
    post_event(hub, user="NOBODY")
    hub.wait_until_quiet()
    attempt = Attempt.objects.latest("pk")
    fetches = Call.objects.filter(attempt=attempt, purpose="fetch").order_by("pk")
    assert [call.status for call in fetches] == [403 if refusal else 404, 200]
    assert ANNA.encode() not in stored_about("NOBODY")
    assert fetches[1].response_part is None
    past = read_past_events([attempt.delivery.event_id], [Route.objects.get(pk=attempt.delivery.route_id)])
    if refusal is None:
        assert [event.reason for event in past] == [UntestableReason.DELETED]


@pytest.mark.submission
def test_an_entity_that_is_created_again_is_not_removed_because_of_its_earlier_deletion(hub: Hub) -> None:
    """One attempt delivers a deletion and a later creation with the same id, while a replica lags behind both."""
    link_anna(hub)
    record = hub.identity.directory.get_record("users", ANNA)
    hub.shop.faults.add("error", status=503, times=1)
    hub.identity.directory.delete_record("users", ANNA)
    assert post_event(hub, "DELETE")[1]["code"] == "target-unavailable"
    post_event(hub, "CREATE")
    hub.identity.directory.create_record("users", record)
    run_again(hub)
    record = hub.customer()
    assert record is not None
    assert record["active"] is True
    assert {delivery.state for delivery in Delivery.objects.all()} <= {State.SUCCEEDED, State.UNCHANGED}
