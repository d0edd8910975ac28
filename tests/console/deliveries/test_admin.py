"""Held deliveries: listed by route, approved or rejected once, recorded with person and reason."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, connections
from django.test import Client

from audit.models import Entry
from console.deliveries.admin import PENDING_DECISIONS
from console.deliveries.held_groups import held_deliveries
from sync.models import Attempt, Delivery, Link, PersonRequest, PersonRequestKind, Route
from sync.operations.held_deliveries import (
    APPROVALS_A_SECOND,
    AlreadyDecided,
    DecisionRefused,
    HeldDecision,
    decide_held,
)
from tests.support.builders.history import (
    a_delivery,
    a_route,
    a_source,
    an_attempt,
    an_event,
    logged_in,
    sealed_findings,
)
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.pages import text_of
from tests.support.people import browser, entries, reveal
from webhooks.models import Event, State

LIST = "/admin/sync/delivery/"
WHY = {"reason": "  they   really left "}


def approver(*roles: str) -> Client:
    """Return the client of a member of these groups who may also decide."""
    client = logged_in(*roles)
    decides, _ = Permission.objects.get_or_create(
        codename="approve_delivery",
        content_type=ContentType.objects.get_for_model(Delivery),
        defaults={"name": "Can approve or reject held deliveries"},
    )
    User.objects.get(pk=client.session["_auth_user_id"]).user_permissions.add(decides)
    return client


def of_route(**values: Any) -> Route:
    return a_route(a_source(), **values)


def a_held(route: Route, number: int = 0, **facts: Any) -> Delivery:
    """Create a held removal of `USR-<number>` with the attempt that planned it."""
    event = an_event(number, source=route.source, state=State.HELD, code="held", **facts)
    delivery = a_delivery(event, route, last_number=1)
    fields = [{"name": "active", "before": True, "after": f"gone-{number}"}]
    change = {"action": "update", "record": "R1", "fields": fields, "same": {}}
    an_attempt(delivery, 1, code="held", findings=sealed_findings(change=change))
    return delivery


def select_deliveries(client: Client, decision: str, *deliveries: Delivery, **more: Any) -> str:
    """Select deliveries. Returns the address of the confirmation page."""
    values = {"decision": decision, "chosen": [delivery.pk for delivery in deliveries], **more}
    answer = client.post(f"{LIST}route/{deliveries[0].route_id}/", values)
    assert answer.status_code == 302
    return str(answer["Location"])


@pytest.fixture
def two_left(hub: Hub) -> tuple[Hub, list[Delivery]]:
    """Create two deleted people on a route that holds all removals."""
    users = ["LEAVER1", "LEAVER2"]
    for user in users:
        emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
        hub.identity.directory.create_record(
            "users", {"id": user, "username": user.lower(), "emails": emails}
        )
        hub.post({"id": user, "entityType": "USER", "eventType": "CREATE"})
    Route.objects.update(max_removals=0)
    for user in users:
        hub.identity.directory.delete_record("users", user)
        answer = hub.post({"id": user, "entityType": "USER", "eventType": "DELETE"})
        assert answer.status_code == 202
    return hub, list(held_deliveries())


def test_approved_deliveries_are_sent_and_recorded_with_person_and_reason(
    two_left: tuple[Hub, list[Delivery]],
) -> None:
    hub, (first, second) = two_left
    staff = approver("support")
    confirm = select_deliveries(staff, "approve", first)
    assert ">Approve 1 delivery</button>" in text_of(staff.get(confirm))
    answer = staff.post(confirm, WHY, follow=True, REMOTE_ADDR="192.0.2.9")
    assert "1 delivery approved." in text_of(answer)
    hub.wait_until_idle()
    assert hub.customer("LEAVER1")["active"] is False
    assert hub.customer("LEAVER2")["active"] is True
    assert [delivery.pk for delivery in held_deliveries()] == [second.pk]
    assert Event.objects.get(pk=first.event_id).state == State.SUCCEEDED
    request, staff_member = PersonRequest.objects.get(), User.objects.get()
    assert (request.requested_by, request.reason, request.deliveries) == (staff_member, "they really left", 1)
    assert (request.kind, request.events) == (PersonRequestKind.APPROVAL, 1)
    assert Attempt.objects.filter(delivery=first).latest("pk").person_request == request
    (entry,) = entries("delivery.approved")
    assert (entry["stream"], entry["actor"]) == (first.stream, f"person:{staff_member.pk}")
    assert entry["details"] == {"person_request": str(request.uuid), "of": 1, "address": "192.0.2.9"}


@pytest.mark.submission
def test_rejected_deliveries_are_never_sent_and_show_the_reason(two_left: tuple[Hub, list[Delivery]]) -> None:
    hub, deliveries = two_left
    staff = approver("support")
    writes = len(hub.writes())
    values = {"decision": "close", "everything": "1"}
    path = staff.post(f"{LIST}route/{deliveries[0].route_id}/", values)["Location"]
    assert "Reject 2 deliveries" in text_of(staff.get(path))
    staff.post(path, WHY, follow=True)
    hub.wait_until_idle()
    assert len(hub.writes()) == writes
    for delivery in deliveries:
        delivery.refresh_from_db()
        assert (delivery.state, delivery.code, delivery.settled_at is None) == ("closed", "closed", False)
        assert delivery.person_request.reason == "they really left"
        assert Event.objects.get(pk=delivery.event_id).state == State.CLOSED
    assert Entry.objects.filter(action="delivery.closed").count() == 2
    assert "they really left" in text_of(staff.get(f"/admin/webhooks/event/{deliveries[0].event_id}/change/"))


@pytest.mark.django_db
def test_a_second_click_or_a_reload_does_not_decide_twice() -> None:
    first, second = (a_held(of_route() if not number else Route.objects.get(), number) for number in (0, 1))
    staff = approver("support")
    path = select_deliveries(staff, "close", first)
    assert staff.post(path, WHY).status_code == 302
    assert "already decided" in text_of(staff.post(path, WHY, follow=True))
    assert PersonRequest.objects.count() == 1
    assert [delivery.pk for delivery in held_deliveries()] == [second.pk]


@pytest.mark.nightly
@pytest.mark.concurrent
def test_two_clicks_at_the_same_moment_are_one_decision(hub: Hub) -> None:
    Route.objects.all().delete()
    route = of_route()
    deliveries = [a_held(route, number) for number in range(3)]
    staff = approver("support")
    path = select_deliveries(staff, "close", *deliveries)

    def click(_: int) -> int:
        browser = Client()
        browser.cookies = staff.cookies
        try:
            return int(browser.post(path, WHY).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as clicks:
        assert list(clicks.map(click, range(4))) == [302] * 4
    assert PersonRequest.objects.count() == 1
    assert Entry.objects.filter(action="delivery.closed").count() == 3


@pytest.mark.submission
@pytest.mark.django_db
def test_deliveries_decided_by_another_person_meanwhile_are_skipped() -> None:
    route = of_route()
    first, second = a_held(route, 1), a_held(route, 2)
    staff, colleague = approver("support"), approver("support")
    path = select_deliveries(staff, "close", first, second)
    colleague.post(select_deliveries(colleague, "close", first), {"reason": "the colleague"})
    answer = staff.post(path, WHY, follow=True)
    assert "1 delivery rejected. No longer held: 1." in text_of(answer)
    first.refresh_from_db()
    assert first.person_request.reason == "the colleague"
    with pytest.raises(DecisionRefused, match="None of these deliveries is held"):
        decide_held([first.pk], HeldDecision.APPROVE, by=User.objects.first(), reason="late", key=uuid4())


@pytest.mark.submission
@pytest.mark.django_db
def test_approved_deliveries_are_spread_over_time() -> None:
    route = of_route()
    deliveries = [a_held(route, number) for number in range(2 * APPROVALS_A_SECOND + 5)]
    keys = [delivery.pk for delivery in deliveries]
    decided = decide_held(
        keys, HeldDecision.APPROVE, by=User.objects.create_user("boss"), reason="all", key=uuid4()
    )
    assert len(decided.deliveries) == len(keys)
    rows = Delivery.objects.order_by("due_at")
    assert {(delivery.state, delivery.is_approved, delivery.attempts_used) for delivery in rows} == {
        ("pending", True, 0)
    }
    begin = rows[0].due_at
    seconds = [round((delivery.due_at - begin).total_seconds()) for delivery in rows]
    assert [seconds.count(second) for second in range(3)] == [APPROVALS_A_SECOND, APPROVALS_A_SECOND, 5]
    assert all(delivery.opened_at == delivery.due_at for delivery in rows)


@pytest.mark.django_db
def test_the_service_enforces_limits_and_keys_too() -> None:
    delivery, boss, key = a_held(of_route()), User.objects.create_user("boss"), uuid4()
    for keys, reason in ([], "why"), (range(1_001), "why"), ([delivery.pk], " "):
        with pytest.raises(DecisionRefused):
            decide_held(keys, HeldDecision.CLOSE, by=boss, reason=reason, key=uuid4())
    decide_held([delivery.pk], HeldDecision.CLOSE, by=boss, reason="why", key=key)
    with pytest.raises(AlreadyDecided):
        decide_held([delivery.pk], HeldDecision.CLOSE, by=boss, reason="why", key=key)


@pytest.mark.submission
@pytest.mark.django_db
def test_only_held_deliveries_of_this_route_can_be_selected() -> None:
    route = of_route()
    done = a_delivery(an_event(9, source=route.source), route)
    staff = approver("support")
    path = f"{LIST}route/{route.pk}/"
    for values in (
        {"decision": "approve", "chosen": [done.pk]},
        {"decision": "approve"},
        {"decision": "approve", "everything": "1"},
        {"decision": "explode", "everything": "1"},
    ):
        assert "Select deliveries that are still held." in text_of(staff.post(path, values, follow=True))
    done.refresh_from_db()
    assert done.state == State.SUCCEEDED


@pytest.mark.django_db
def test_values_are_shown_only_with_the_permission_and_once_they_are_revealed() -> None:
    delivery = a_held(of_route())
    for path in (LIST, f"{LIST}route/{delivery.route_id}/"):
        support, auditor = logged_in("support"), logged_in("auditor")
        assert "gone-0" not in text_of(support.get(path))
        assert "gone-0" in text_of(reveal(support, delivery.event_id, path))
        assert "gone-0" not in text_of(reveal(auditor, delivery.event_id, path))
        assert "gone-0" not in text_of(auditor.get(path))


@pytest.mark.submission
@pytest.mark.django_db
def test_a_selection_belongs_to_its_person_and_expires() -> None:
    delivery = a_held(of_route())
    staff = approver("support")
    first = select_deliveries(staff, "approve", delivery)
    assert "selection has expired" in text_of(approver("support").get(first, follow=True))
    for _ in range(PENDING_DECISIONS.max_values):
        select_deliveries(staff, "approve", delivery)
    assert "selection has expired" in text_of(staff.get(first, follow=True))


def test_held_deliveries_are_found_by_an_index(database: None) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET enable_seqscan = off")
    assert "delivery_held" in held_deliveries().order_by().explain()


@pytest.mark.submission
@pytest.mark.django_db
def test_the_list_says_how_many_more_a_route_holds_than_it_shows() -> None:
    route, support = of_route(), logged_in("support")
    for number in range(3):
        a_held(route, number)
    assert "more</p>" not in text_of(support.get(LIST))
    a_held(route, 3)
    assert "and 1 more" in text_of(support.get(LIST))


@pytest.mark.django_db
def test_the_intended_change_is_shown_and_a_row_without_one_has_no_details() -> None:
    route, support = of_route(), logged_in("support")
    a_held(route, 1)
    pruned = a_held(route, 2)
    pruned.attempts.update(findings=None)
    page = text_of(support.get(f"{LIST}route/{route.pk}/"))
    assert page.count('<details class="attempt" open>') == page.count("</details>") - 1 == 1
    assert "no longer stored" in page


@pytest.mark.submission
@pytest.mark.django_db
def test_the_page_of_a_route_shows_its_limits() -> None:
    route, support = of_route(guard_minutes=10), logged_in("support")
    for removals, percent, told in (
        (0, None, "Every deletion waits for approval."),
        (1, None, "Limit: 1 deletion per 10 minutes."),
        (5, None, "Limit: 5 deletions per 10 minutes."),
        (None, 20, "Limit: changes of 20 % of the known records per 10 minutes."),
        (None, None, "This route no longer has a limit"),
    ):
        Route.objects.update(max_removals=removals, max_changed_percent=percent)
        assert told in text_of(support.get(f"{LIST}route/{route.pk}/"))


@pytest.mark.submission
def test_an_absence_that_nothing_proves_is_explained_and_can_be_looked_at_again(hub: Hub) -> None:
    Route.objects.update(max_attempts=1)
    hub.post_signed(EXAMPLE)
    hub.identity.faults.add("error", status=404)
    hub.post_signed(EXAMPLE)
    held = Delivery.objects.get(state=State.HELD)
    client = browser("administrator")
    event = client.get(f"/admin/webhooks/event/{held.event_id}/change/").content.decode()
    assert {"look-at-held", "replay-this"} <= set(re.findall(r'id="([a-z-]+)"', event))
    hub.identity.faults.clear()
    assert client.get(f"/admin/webhooks/event/{held.event_id}/replay/").status_code == 200


def hold_stranger(hub: Hub) -> Delivery:
    """Let the deletion of Anna be held, because her linked record has a stranger's external id."""
    Route.objects.update(max_removals=None, max_changed_percent=None)
    hub.post_signed(EXAMPLE)
    record_id = Link.objects.get(entity_id=ANNA).record_id
    hub.shop.catalogue.update_record("customers", record_id, {"external_id": "stranger"}, replaces=False)
    hub.identity.directory.delete_record("users", ANNA)
    assert hub.post_signed(EXAMPLE.replace(b"UPDATE", b"DELETE")).status_code == 202
    return Delivery.objects.get(state=State.HELD)


def test_a_deletion_that_may_reach_a_stranger_is_explained_and_asks_for_care(hub: Hub) -> None:
    held = hold_stranger(hub)
    assert held.code == "held-external-id"
    staff = approver("support")
    path = f"{LIST}route/{held.route_id}/"
    event_page = text_of(staff.get(f"/admin/webhooks/event/{held.event_id}/change/"))
    for page in (text_of(staff.get(LIST)), text_of(staff.get(path)), event_page):
        assert "may belong to another person" in page
        assert "external_id" in page
        assert "stranger" not in page
    assert "look-at-held" in event_page
    assert "replay-this" not in event_page
    assert "stranger" in text_of(reveal(staff, held.event_id, path))
    confirm = text_of(staff.get(select_deliveries(staff, "approve", held)))
    assert "1 of them is a deletion whose record may belong to another person." in confirm
    assert "may belong to" not in text_of(staff.get(select_deliveries(staff, "close", held)))
