"""Where the target has versions, a write names the one that it changes: no older data and no other writer is
overwritten (I27, T14).
"""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sandbox.http.messages import Request, Response
from sync.attempts import apply
from sync.deliveries.expired_leases import release_delivery
from sync.deliveries.record_links import read_link
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Call, Connection, Delivery, Link, Recheck, Route
from tests.support.circuit_breakers import breaker
from tests.support.http.connectors import PUT_CUSTOMER
from tests.support.hub import ANNA, Hub
from webhooks.models import State

ETAG: dict[str, Any] = {"read": {"header": "ETag"}, "send": {"header": "If-Match"}}
FIELD: dict[str, Any] = {
    "read": {"path": "version"},
    "send": {"field": "version", "query": "version"},
    "stale": [{"status": 409, "when": "body.errors[0].code == 'outdated'"}],
}
OLD, NEWEST = "anna.old@example.com", "anna.newest@example.com"


def use_versions(version: dict[str, Any] | None, method: str = "PATCH") -> None:
    """Let the hub make the writes of customers conditional."""
    connection = Connection.objects.get(slug="shop")
    users = connection.settings["entities"]["USER"]
    users["version"] = version
    if method == "PUT":
        users["operations"]["update"] = PUT_CUSTOMER
    connection.save()


def post(hub: Hub, event_type: str = "UPDATE", user: str = ANNA) -> tuple[int, str]:
    """Post a signed webhook. Returns the HTTP status, and the status of the outcome or the code of the failure."""
    answer = hub.post_signed({"id": user, "entityType": "USER", "eventType": event_type})
    document = answer.json()
    return answer.status_code, document.get("code") or document["status"]


def link_anna(hub: Hub) -> dict[str, Any]:
    """Deliver a first webhook, which links Anna's record. Returns the record."""
    assert post(hub)[0] == 200
    hub.shop.request_journal.clear()
    return customer(hub)


def customer(hub: Hub) -> dict[str, Any]:
    record = hub.customer()
    assert record is not None
    return record


def change_before_writes(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, times: int, *changes: dict[str, Any]
) -> None:
    """Let another client change Anna's record before each of the first writes arrives, by these changes in turn."""
    respond, left = hub.shop.handle_api_request, [changes[index % len(changes)] for index in range(times)]

    def change_and_respond(request: Request) -> Response:
        if request.is_write and left:
            record_id = request.path.rpartition("/")[2]
            hub.shop.catalogue.update_record("customers", record_id, left.pop(0), replaces=False)
        return respond(request)

    monkeypatch.setattr(hub.shop, "handle_api_request", change_and_respond)


def requests_to_shop(hub: Hub) -> list[tuple[str, int]]:
    return [(entry["method"], entry["status"]) for entry in hub.shop.read_journal()]


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I2", "I27", "T14")
@pytest.mark.parametrize(
    ("version", "method", "ours"),
    [
        (ETAG, "PATCH", {"phone": "+3585550000"}),
        (FIELD, "PATCH", {}),
        (ETAG, "PUT", {"phone": "+3585550000"}),
    ],
    ids=["header", "field", "put"],
)
def test_a_record_that_another_client_changes_meanwhile_is_planned_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, version: dict[str, Any], method: str, ours: dict[str, str]
) -> None:
    use_versions(version, method)
    link_anna(hub)
    change_before_writes(hub, monkeypatch, 1, {"segments": ["Friends"]} | ours)
    hub.change_email(NEWEST)
    assert post(hub) == (200, "succeeded")
    record = customer(hub)
    assert record["email"] == NEWEST
    assert record["segments"] == ["Friends"], "the other client's field is kept"
    assert record["phone"] == "+358401234567", "planned again, with what it changed of ours"
    calls = list(Call.objects.filter(attempt=Attempt.objects.latest("pk"), is_write=True).order_by("pk"))
    assert [(call.status, call.error) for call in calls] == [
        (version.get("stale", [{"status": 412}])[0]["status"], "target-stale"),
        (200, ""),
    ]
    assert calls[0].key != calls[1].key
    assert not Recheck.objects.exists()


def test_a_change_that_another_client_made_meanwhile_is_not_sent_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_versions(ETAG)
    link_anna(hub)
    change_before_writes(hub, monkeypatch, 1, {"email": hub.change_email(NEWEST)})
    assert post(hub) == (200, "unchanged")
    assert requests_to_shop(hub) == [("GET", 200), ("PATCH", 412), ("GET", 200)]


@pytest.mark.submission
def test_after_the_third_refusal_the_delivery_is_retried_later(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_versions(ETAG)
    link_anna(hub)
    change_before_writes(hub, monkeypatch, 3, {"phone": "1"}, {"phone": "2"})
    hub.change_email(NEWEST)
    assert post(hub) == (424, "target-stale")
    assert breaker() is None, "the target has answered properly"
    assert len(hub.writes()) == 3
    assert not Recheck.objects.exists(), "nothing was written"
    delivery = Delivery.objects.latest("pk")
    assert (delivery.state, delivery.code, delivery.attempts_used) == (State.RETRYING, "target-stale", 1)
    Delivery.objects.filter(pk=delivery.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    assert run_due_deliveries() == 1
    assert customer(hub)["email"] == NEWEST
    assert customer(hub)["phone"] == "+358401234567"


def test_an_attempt_that_plans_again_counts_once_for_the_limits_of_its_route(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    Route.objects.update(when_deleted=Route.DeletionPolicy.DELETE, max_removals=1)
    use_versions(ETAG)
    link_anna(hub)
    change_before_writes(hub, monkeypatch, 2, {"phone": "1"})
    hub.identity.directory.delete_record("users", ANNA)
    assert post(hub, "DELETE") == (200, "succeeded")
    assert Attempt.objects.latest("pk").counted_as == "removal"
    assert len(hub.writes()) == 3


@pytest.mark.parametrize("version", [ETAG, FIELD], ids=["header", "field"])
def test_a_deletion_deletes_only_the_version_that_it_was_planned_for(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, version: dict[str, Any]
) -> None:
    Route.objects.update(when_deleted=Route.DeletionPolicy.DELETE)
    use_versions(version)
    link_anna(hub)
    change_before_writes(hub, monkeypatch, 1, {"phone": "1"})
    hub.identity.directory.delete_record("users", ANNA)
    assert post(hub, "DELETE") == (200, "succeeded")
    assert hub.customer() is None
    assert len(hub.writes()) == 2


@pytest.mark.submission
@pytest.mark.parametrize(
    ("version", "has_change", "requests"),
    [
        (ETAG, True, ["GET", "GET", "PATCH"]),
        (ETAG, False, ["GET"]),
        (FIELD, True, ["GET", "PATCH"]),
    ],
)
def test_a_record_found_by_a_search_is_read_again_only_for_a_version_in_a_header(
    hub: Hub, version: dict[str, Any] | None, has_change: bool, requests: list[str]
) -> None:
    assert post(hub)[0] == 200  # both systems agree from now on
    Link.objects.all().delete()
    hub.shop.request_journal.clear()
    use_versions(version)
    if has_change:
        hub.change_email(NEWEST)
    assert post(hub) == (200, "succeeded" if has_change else "unchanged")
    assert [method for method, _ in requests_to_shop(hub)] == requests
    hub.shop.request_journal.clear()
    hub.change_email(OLD)
    assert post(hub) == (200, "succeeded")
    assert [method for method, _ in requests_to_shop(hub)] == ["GET", "PATCH"], "by its link from then on"


def test_a_record_that_was_bound_by_an_address_stays_bound_when_it_is_planned_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other client changes the very address by which the record was found."""
    use_versions(ETAG)
    emails = [{"address": "grace.holloway@example.com", "verified": True}]
    hub.identity.directory.create_record("users", {"id": "GRACE1", "username": "grace", "emails": emails})
    known = {record["id"] for record in hub.shop.list_records("customers")}
    change_before_writes(hub, monkeypatch, 1, {"email": "grace.other@example.com"})
    assert post(hub, user="GRACE1") == (200, "succeeded")
    assert {record["id"] for record in hub.shop.list_records("customers")} == known
    record = hub.customer("GRACE1")
    assert record is not None
    assert record["email"] == "grace.holloway@example.com"
    assert Link.objects.get(entity_id="GRACE1").record_id == str(record["id"])


def test_without_a_version_nothing_is_written(hub: Hub) -> None:
    use_versions({**ETAG, "read": {"header": "X-Version"}})
    before = customer(hub)
    hub.change_email(NEWEST)
    assert post(hub) == (424, "target-garbled")
    assert hub.writes() == []
    assert customer(hub) == before


@pytest.mark.submission
def test_a_process_that_was_taken_over_meanwhile_does_not_plan_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_versions(ETAG)
    link_anna(hub)
    change_before_writes(hub, monkeypatch, 1, {"phone": "1"})

    def lose_claim(delivery: Delivery) -> Any:
        Delivery.objects.filter(pk=delivery.pk).update(lease_until=timezone.now() - timedelta(seconds=60))
        assert release_delivery(Delivery.objects.get(pk=delivery.pk))
        return read_link(delivery)

    monkeypatch.setattr(apply, "read_link", lose_claim)
    hub.change_email(NEWEST)
    post(hub)
    hub.wait_until_quiet()
    taken_over = Attempt.objects.get(outcome="unknown")
    assert Call.objects.filter(attempt=taken_over, is_write=True).count() == 1
    assert hub.writes()[0]["status"] == 412
