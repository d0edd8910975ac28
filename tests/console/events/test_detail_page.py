"""The page of one event: its contents, its permissions, and its cost."""

import html
import json
import re
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sync.models import Attempt, AwaitedRecord, Delivery, Recheck, Route
from sync.references.value_holders import store_given_up
from tests.support.builders.failed_events import SECRET, a_failed_event
from tests.support.builders.history import (
    a_call,
    a_delivery,
    a_receipt,
    a_route,
    a_source,
    an_attempt,
    an_event,
    logged_in,
    sealed,
    sealed_findings,
)
from tests.support.database.query_plans import find_unindexed_statements, recorded_statements
from tests.support.pages import text_of
from tests.support.people import entries
from webhooks.models import Event

pytestmark = pytest.mark.django_db
LIST = "/admin/webhooks/event/"


@pytest.fixture
def support() -> Client:
    return logged_in("support")


def revealed_page(client: Client, event: Event) -> str:
    """Return the page after its contents were revealed with a reason."""
    assert client.post(f"{LIST}{event.pk}/reveal/", {"reason": "she asked why"}).status_code == 302
    return page_of(client, event)


def page_of(client: Client, event: Event) -> str:
    answer = client.get(f"{LIST}{event.pk}/change/")
    assert answer.status_code == 200
    return text_of(answer)


@pytest.mark.submission
def test_a_replay_that_waits_for_its_connection_does_not_repeat_the_last_refusal(support: Client) -> None:
    event = a_failed_event(event_id="msg_1")
    assert '<p class="answered">The shop responded: “Taken.”' in revealed_page(support, event)
    event.deliveries.update(state="retrying", code="target-unavailable", due_at=timezone.now())
    page = revealed_page(support, event)
    assert "The shop is unavailable" in page
    assert 'class="answered"' not in page


@pytest.mark.parametrize("state", ["pending", "running"])
def test_an_open_delivery_of_a_route_that_observes_is_not_said_to_be_delivered(
    support: Client, state: str
) -> None:
    event = an_event(1, state="pending", code="")
    route = a_route(event.source, mode="observe")
    claim = {"token": uuid4(), "lease_until": timezone.now() + timedelta(hours=1)}
    a_delivery(event, route, state=state, due_at=timezone.now(), **claim if state == "running" else {})
    page = page_of(support, event)
    assert "The route observes, so nothing" in page
    assert "will be delivered" not in page
    Delivery.objects.update(state="pending", due_at=None, token=None, lease_until=None)
    Route.objects.update(paused_at=timezone.now(), pause_reason="moving")
    paused = page_of(support, event)
    assert "The change will be planned when an administrator resumes" in paused
    assert "will be delivered" not in paused


@pytest.mark.submission
def test_an_attempt_without_an_answer_shows_what_its_rechecks_found(support: Client) -> None:
    event, later = an_event(2, state="dead", code="target-timeout"), an_event(1)
    route = a_route(event.source)
    attempt = an_attempt(a_delivery(event, route), 1, code="target-timeout")
    repair = an_attempt(a_delivery(later, route), 1, cause="recheck", outcome="succeeded", code="succeeded")
    now = timezone.now()
    recheck = Recheck.objects.create(attempt=attempt, began_at=now, due_at=now)
    waiting = page_of(support, event)
    assert "This request may still arrive." in waiting
    assert "Confirmed later" not in waiting

    Recheck.objects.update(confirmed_at=now, due_at=None)
    confirmed = page_of(support, event)
    assert "Confirmed later" in confirmed
    assert "may still arrive" not in confirmed

    Recheck.objects.filter(pk=recheck.pk).update(confirmed_at=None, repaired_by=repair)
    with CaptureQueriesContext(connection) as captured:
        repaired = page_of(support, event)
    assert "· Repaired" in repaired
    link = f'<a href="{LIST}{later.pk}/change/#attempt-{repair.pk}">Attempt 1 of {later.reference}</a>'
    assert link in repaired
    assert sum("sync_recheck" in query["sql"] for query in captured.captured_queries) == 1
    assert "Triggered by a re-check" in page_of(support, later)


def test_contents_are_shown_only_with_the_permission_and_the_page_says_which(support: Client) -> None:
    event = a_failed_event()
    assert revealed_page(support, event).count(SECRET) == 4
    with CaptureQueriesContext(connection) as captured:
        without = page_of(logged_in("auditor"), event)
    assert SECRET not in without
    assert "old@example.com" not in without
    assert without.count("Your role can't see payload contents.") == 1
    assert "Taken." not in without
    assert not any("encrypted" in query["sql"] for query in captured.captured_queries)


def test_an_event_opens_by_its_reference_too(support: Client) -> None:
    event = an_event()
    assert event.reference in support.get(f"{LIST}{event.reference.lower()}/change/").content.decode()
    for wrong in ("0" * 26, "999", "x", "9" * 40):
        assert support.get(f"{LIST}{wrong}/change/").status_code == 404


@pytest.mark.submission_rows(2)
@pytest.mark.one_database
@pytest.mark.parametrize(
    "hostile",
    [
        b'{"a":"<script>alert(1)</script>"}',
        b"\xff\xfe\x00<script>",
        b"[" * 60_000,
        b'{"a":"\\ud800<script>"}',
        b'{"n":' + b"9" * 5_000 + b"}",
    ],
)
@pytest.mark.promise("I17", "T23")
def test_hostile_contents_are_text_and_break_nothing(support: Client, hostile: bytes) -> None:
    event = a_failed_event(payload=sealed("webhook", hostile))
    call = event.deliveries.get().attempts.get().calls.get()
    call.response = sealed("response", [{"headers": {}, "body": hostile.decode("utf-8", "replace")}])
    call.request = sealed("request", hostile)
    call.save()
    text = page_of(support, event) + revealed_page(support, event)
    assert "<script>alert" not in text
    assert "\x00<script>" not in text


def test_a_large_payload_is_cut_at_64_kilobytes(support: Client) -> None:
    event = an_event(payload=sealed("webhook", b"x" * 70_000))
    text = revealed_page(support, event)
    assert "x" * 65_536 in text
    assert "x" * 65_537 not in text
    assert "the full size is 70000 bytes" in text


def test_a_deleted_or_undecryptable_payload_is_reported(support: Client) -> None:
    assert "Not stored, or deleted in the meantime." in page_of(support, an_event(1))
    lost = sealed("webhook", b"{}")
    lost.encrypted = b"x" * 80
    lost.save()
    assert "Encrypted with a key that the hub no longer has." in page_of(support, an_event(2, payload=lost))


@pytest.mark.submission
def test_the_page_costs_the_same_for_ten_attempts_and_for_sixty_and_shows_the_newest_fifty(
    support: Client,
) -> None:
    event = a_failed_event()
    delivery = event.deliveries.get()
    for number in range(2, 11):
        a_call(an_attempt(delivery, number))
    with CaptureQueriesContext(connection) as ten:
        page_of(support, event)
    assert len(ten) <= 25
    for number in range(11, 61):
        a_call(an_attempt(delivery, number))
    with CaptureQueriesContext(connection) as sixty:
        text = page_of(support, event)
    assert len(sixty) == len(ten)
    numbers = [int(number) for number in re.findall(r'"attempt-number">#(\d+)<', text)]
    assert numbers == list(range(60, 10, -1))
    assert text.count("<code>PATCH /customers/{id}</code>") == 20


@pytest.mark.one_database
@pytest.mark.parametrize("has_batch", [False, True])
def test_requests_of_an_event_are_found_by_index(support: Client, has_batch: bool) -> None:
    """Holds the request of the batch beside them, and that SQLite reads the table of requests whole for neither.

    PostgreSQL chooses by its statistics of the column, which no test has.
    """
    event = a_failed_event()
    batch = a_receipt(None, source=event.source, address="192.0.2.1")
    Event.objects.filter(pk=event.pk).update(batch=batch if has_batch else None)
    a_receipt(event, address="192.0.2.2")
    with recorded_statements() as seen:
        page = page_of(support, event)
    of_requests = [statement for statement in seen if "webhooks_receipt" in statement.sql]
    assert find_unindexed_statements(connection, of_requests) == {}
    assert re.findall(r"192\.0\.2\.\d", page) == ["192.0.2.2", *(["192.0.2.1"] if has_batch else [])]


def test_a_covered_delivery_links_to_what_covered_it(support: Client) -> None:
    first, second = an_event(1), an_event(2)
    route = a_route(first.source)
    attempt = an_attempt(a_delivery(first, route), 1)
    a_delivery(second, route, covered_by=attempt)
    assert f'<a href="{LIST}{first.pk}/change/">attempt 1 of {first.reference}</a>' in page_of(
        support, second
    )


@pytest.mark.promise("I6")
def test_contents_are_masked_until_a_reason_is_given_and_again_after_a_minute(
    support: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = a_failed_event()
    covered = page_of(support, event)
    assert SECRET not in covered
    assert "•••" in covered
    assert "Values are masked." in covered
    revealed = revealed_page(support, event)
    assert "Visible for 60 s" in revealed
    assert "Values are masked." not in revealed
    assert f'<ins class="now">{SECRET}</ins>' in revealed
    (entry,) = entries("event.revealed")
    assert entry["details"]["reason"] == "she asked why"
    assert page_of(support, an_event(1)).count("Visible for") == 0
    later = time.time() + 61
    monkeypatch.setattr("console.payloads.reveal.time.time", lambda: later)
    assert SECRET not in page_of(support, event)


def test_an_attempt_that_began_by_a_clock_ahead_of_ours_has_taken_no_time(support: Client) -> None:
    event = a_failed_event()
    running = Attempt.objects.filter(delivery__event=event)
    running.update(started_at=timezone.now() + timedelta(seconds=1), ended_at=None)
    page = page_of(support, event)
    assert "0 ms so far" in page


def test_revealing_never_leads_to_another_site(support: Client) -> None:
    event = an_event()
    for back in ("//evil.test/", "https://evil.test/", "javascript:alert(1)", "/\\evil.test"):
        answer = support.post(f"{LIST}{event.pk}/reveal/", {"reason": "she asked", "next": back})
        assert answer["Location"] == f"{LIST}{event.pk}/change/", back


@pytest.mark.submission
def test_revealing_needs_the_permission_and_a_reason(support: Client) -> None:
    event = a_failed_event()
    address = f"{LIST}{event.pk}/reveal/"
    assert logged_in("auditor").post(address, {"reason": "curious"}).status_code == 403
    for reason in ("", "  ", "x" * 201):
        assert SECRET not in support.post(address, {"reason": reason}, follow=True).content.decode()
    assert not entries("event.revealed")
    assert SECRET not in page_of(support, event)


def test_a_copied_command_holds_no_secret_and_no_value_even_while_revealed(support: Client) -> None:
    event = a_failed_event()
    call = event.deliveries.get().attempts.get().calls.get()
    sent = {
        "url": f"https://x.test/customers/1?email={SECRET}",
        "headers": {"Authorization": "[redacted]", "X-Note": "it's"},
        "body": json.dumps({"email": SECRET}),
    }
    call.request = sealed("request", sent)
    call.save()
    commands = re.findall(r'data-copy="(curl [^"]*)"', revealed_page(support, event))
    assert len(commands) == 1
    assert SECRET not in commands[0]
    assert "$TOKEN" in commands[0]
    assert "•••" in commands[0]


@pytest.mark.submission
def test_the_page_leads_back_to_the_list_it_was_opened_from(support: Client) -> None:
    event = a_failed_event()
    listed = text_of(support.get(f"{LIST}?state=dead&event_type=UPDATE"))
    (link,) = re.findall(r'<a [^>]*href="([^"]+)"[^>]* data-open>', listed)
    page = text_of(support.get(html.unescape(link)))
    assert f'<a href="{LIST}?state=dead&amp;event_type=UPDATE">← Events</a>' in page
    assert (
        "javascript:"
        not in support.get(f"{LIST}{event.pk}/change/?list=javascript:alert(1)").content.decode()
    )


def unfolded_calls(text: str) -> list[int]:
    """Return the calls whose request and response are shown at once."""
    return [int(key) for key in re.findall(r'<details id="call-(\d+)" open', text)]


@pytest.mark.submission
def test_only_the_failing_call_of_the_newest_attempt_is_unfolded(support: Client) -> None:
    event = a_failed_event()
    a_call(event.deliveries.get().attempts.get(), status=200, is_write=False)
    newest = an_attempt(event.deliveries.get(), 2, code="target-rejected")
    good = a_call(newest, status=200, is_write=False)
    bad = a_call(newest, status=422)
    text = page_of(support, event)
    assert unfolded_calls(text) == [bad.pk]
    assert f'id="call-{good.pk}"' in text


GONE = "Aurora ID does not have this entity, and"
NO_CHANGE = "there was nothing to change, so nothing was sent."


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("when_deleted", "entity_id", "record_id", "told"),
    [
        ("delete", "USR-0", "", f"{GONE} The shop has no record of it. Nothing was sent."),
        ("ignore", "USR-0", "", f"{GONE} the route does not change the record. Nothing was sent."),
        ("delete", "USR-0", "4711", NO_CHANGE),
        ("delete", "~erased", "", NO_CHANGE),
    ],
)
def test_without_a_record_no_field_is_called_equal(
    support: Client, when_deleted: str, entity_id: str, record_id: str, told: str
) -> None:
    event = an_event(state="unchanged", code="unchanged", entity_id=entity_id)
    nothing = sealed_findings(change={"action": "nothing", "record": None, "fields": [], "same": {}})
    found = {"outcome": "unchanged", "code": "unchanged", "action": "none", "record_id": record_id}
    an_attempt(
        a_delivery(event, a_route(event.source, when_deleted=when_deleted)), 1, findings=nothing, **found
    )
    text = page_of(support, event)
    assert told in text
    assert "Changes" not in text
    assert 'class="change list"' not in text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"scope": "unknown"}, "it does not decide whether the entity is in the scope"),
        ({"scope": "left"}, "The entity is outside the scope of the route."),
        ({"scope": "left", "unlink": True}, "Its link ends, and the record is not changed."),
        ({"scope": "returned"}, "The entity is in the scope of the route again."),
    ],
)
def test_an_attempt_says_what_became_of_the_scope(support: Client, change: dict[str, Any], told: str) -> None:
    """Holds that an entity that is there is never called absent because nothing was decided."""
    event = an_event(state="unchanged", code="unchanged")
    found = sealed_findings(change={"action": "nothing", "record": None, "fields": [], "same": {}, **change})
    an_attempt(
        a_delivery(event, a_route(event.source)), 1, findings=found, outcome="unchanged", code="unchanged"
    )
    text = page_of(support, event)
    assert told in text
    assert GONE not in text


@pytest.mark.submission
@pytest.mark.parametrize(
    ("outcome", "action", "told"),
    [
        ("succeeded", "updated", "Record 4711 updated."),
        ("failed", "updated", "Tried to update record 4711."),
        ("held", "deleted", "Tried to delete record 4711."),
        ("failed", "created", "Tried to create record."),
        ("unchanged", "none", ""),
    ],
)
def test_an_attempt_shows_its_actual_or_intended_change(
    support: Client, outcome: str, action: str, told: str
) -> None:
    event = an_event(state="dead", code="target-rejected")
    delivery = a_delivery(event, a_route(event.source))
    record = "" if action == "created" else "4711"
    an_attempt(delivery, 1, outcome=outcome, code="", action=action, record_id=record)
    text = page_of(support, event)
    assert told in text
    assert text.count("4711") == told.count("4711")


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("state", "code", "is_primary"),
    [
        ("dead", "target-unavailable", True),
        ("dead", "target-rejected", False),
        ("retrying", "target-unavailable", False),
        ("succeeded", "succeeded", False),
    ],
)
def test_replay_is_the_next_step_only_of_failures_that_can_succeed(
    support: Client, state: str, code: str, is_primary: bool
) -> None:
    event = an_event(state=state, code=code)
    (classes,) = re.findall(r'class="(button[^"]*)" data-key="r"', page_of(support, event))
    assert ("primary" in classes) is is_primary


def test_the_message_of_a_system_is_shown_once(support: Client) -> None:
    event = a_failed_event()
    response = {
        "sentence": "This address is taken.",
        "errors": [
            {"field": "email", "code": "duplicate", "detail": "This address is taken."},
            {"field": "mobile", "code": "invalid", "detail": "Too short."},
        ],
    }
    event.deliveries.get().attempts.update(findings=sealed_findings(answer=response))
    text = page_of(support, event)
    assert (
        "“This address is taken.” (field email, code duplicate) “Too short.” (field mobile, code invalid)"
        in text
    )
    assert text.count("This address is taken.") == 1
    assert text.count("Too short.") == 1


def test_a_fault_found_by_the_hub_is_not_attributed_to_a_system(support: Client) -> None:
    event = an_event(state="dead", code="unmappable")
    found = sealed_findings(
        answer={"errors": [{"field": "age", "code": "unmappable", "detail": "no number"}]}
    )
    an_attempt(a_delivery(event, a_route(event.source)), 1, code="unmappable", findings=found)
    text = page_of(support, event)
    assert "The hub found: age: no number" in text
    assert "answered:" not in text


def claimed_event() -> Event:
    """Return an event whose delivery a worker has just claimed."""
    event = a_failed_event()
    # A claim sets the delivery to running, and leaves the event's row alone.
    Event.objects.filter(pk=event.pk).update(state="pending", code="pending")
    claimed = {"token": uuid4(), "lease_until": timezone.now() + timedelta(minutes=1), "due_at": None}
    event.deliveries.update(state="running", code="", settled_at=None, **claimed)
    return event


def test_the_header_has_the_state_of_the_deliveries_below_it(support: Client) -> None:
    text = page_of(support, claimed_event())
    assert text.count("Running") >= 2
    assert "Pending" not in text


def test_during_a_recheck_header_and_delivery_keep_their_state(support: Client) -> None:
    route = a_route(a_source())
    event = an_event(1, state="succeeded", source=route.source)
    a_delivery(event, route, state="pending", state_before_recheck="succeeded", due_at=event.received_at)
    text = page_of(support, event)
    assert text.count("Succeeded") >= 2
    assert "Pending" not in text
    assert "The record is being checked again, because an earlier request may have arrived late" in text


@pytest.mark.submission
def test_fields_that_were_left_out_are_named_with_the_reason(support: Client) -> None:
    event = an_event(state="unchanged", code="unchanged")
    delivery = a_delivery(event, a_route(a_source()))
    change = {
        "action": "nothing",
        "record": "1",
        "fields": [],
        "same": {},
        "left_out": [{"name": "phone", "before": "35840", "after": "+358 40"}],
    }
    an_attempt(
        delivery,
        1,
        outcome="unchanged",
        code="unchanged",
        action="none",
        record_id="1",
        findings=sealed_findings(change=change),
    )
    text = page_of(support, event)
    assert "The shop does not keep some values" in text
    assert "These fields differ, but were not sent: phone." in text
    assert "not sent: •••" in text
    assert "not sent: +358 40" in revealed_page(support, event)
    assert "was already up to date" not in text


@pytest.mark.submission
def test_a_failed_delivery_names_the_entity_whose_record_holds_the_refused_value(support: Client) -> None:
    """Also if another identity service knows it: its webhook changes the record, or nobody's does."""
    event = a_failed_event()
    delivery = event.deliveries.get()
    AwaitedRecord.objects.create(
        delivery=delivery,
        identity=delivery.identity,
        target=delivery.target,
        entity_type="USER",
        entity_id="HOLDER1",
        holds_value=True,
    )
    page = page_of(support, event)
    [fact] = re.findall(r"<dt>Value held by</dt>\s*<dd>(.*?)</dd>", page, re.DOTALL)
    assert "HOLDER1</a>" in fact
    assert f"({html.escape(str(delivery.identity))})" in fact
    assert "temporary value" not in page
    store_given_up(delivery, "4711")
    page = page_of(support, event)
    assert "has a temporary value, because another record waits for its old one" in page
    assert len(re.findall("<dt>Value held by</dt>", page)) == 1
    assert "HOLDER1</a>" in page
