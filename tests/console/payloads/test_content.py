"""Each call shows its own request and response, although the calls of an attempt share a payload."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from console.payloads.content import request_content, request_document, response_content
from sync.models import Attempt
from tests.support.builders.history import (
    a_call,
    a_delivery,
    a_route,
    an_attempt,
    an_event,
    logged_in,
    sealed,
)
from tests.support.pages import text_of
from webhooks.models import Event, Payload

pytestmark = pytest.mark.django_db
NAMES = ("alpha", "beta", "gamma")
ABSENT = "Not stored, or deleted in the meantime."


def _part(name: str, body: str = "") -> dict[str, Any]:
    """Return what is stored of a read whose address, headers and bodies all hold this name."""
    request = {"url": f"https://x.test/{name}", "headers": {"X-Sent": name}, "body": f"sent {name}"}
    return {"headers": {"X-Got": name}, "body": body or f"got {name}", "request": request}


def _attempt_with_reads() -> Attempt:
    event = an_event(state="succeeded", code="succeeded")
    attempt: Attempt = an_attempt(a_delivery(event, a_route(event.source)), 1, outcome="succeeded")
    shared = sealed("response", [_part(name) for name in NAMES])
    # Not in the order of the calls.
    for part in (2, 0, 1):
        values = {"path": f"/{NAMES[part]}", "status": 200, "request": None, "response": shared}
        a_call(attempt, purpose="get", is_write=False, method="GET", response_part=part, **values)
    return attempt


def test_a_call_shows_only_its_own_request_and_response() -> None:
    for call in _attempt_with_reads().calls.all():
        name = call.path.removeprefix("/")
        assert response_content(call, "").text == f"X-Got: {name}\n\ngot {name}"
        assert request_content(call, "").text == f"https://x.test/{name}\nX-Sent: {name}\n\nsent {name}"
        assert request_document(call)["body"] == f"sent {name}"


def _exchanges(client: Client, event: Event) -> list[str]:
    """Return what the page shows of each call: its address, request and response."""
    client.post(f"/admin/webhooks/event/{event.pk}/reveal/", {"reason": "she asked why"})
    text = text_of(client.get(f"/admin/webhooks/event/{event.pk}/change/"))
    return text.split('<div class="call">')[1:]


def test_the_page_of_an_event_opens_shared_responses_once(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = _attempt_with_reads()
    decrypt, opened = Payload.decrypt, []

    def counted(payload: Payload) -> bytes:
        opened.append(payload.kind)
        return decrypt(payload)

    monkeypatch.setattr(Payload, "decrypt", counted)
    client, event = logged_in("support"), attempt.delivery.event
    shown = _exchanges(client, event)
    names = [next(name for name in NAMES if f"/{name}</code>" in text) for text in shown]
    assert names == ["gamma", "alpha", "beta"]
    for name, text in zip(names, shown, strict=True):
        assert (f"got {name}" in text, f"sent {name}" in text) == (True, True)
        assert not [other for other in NAMES if other != name and f"got {other}" in text]
    assert opened.count("response") == 1
    with CaptureQueriesContext(connection) as few:
        _exchanges(client, event)
    for _ in range(3):
        a_call(attempt, response=sealed("response", [_part("delta")]))
    with CaptureQueriesContext(connection) as many:
        _exchanges(client, event)
    assert len(few) == len(many)


def test_the_size_of_a_cut_response_is_that_of_its_own_part() -> None:
    call = _attempt_with_reads().calls.earliest("pk")
    long = _part("long", "ä" * 40_000)
    call.response, call.response_part = sealed("response", [_part("alpha"), long, _part("beta")]), 1
    shown = response_content(call, "")
    stored = json.dumps(long, ensure_ascii=False, separators=(",", ":")).encode()
    assert (shown.is_cut, shown.size) == (True, len(stored))
    assert not request_content(call, "").is_cut


def test_a_part_that_does_not_exist_is_reported_as_not_stored() -> None:
    call = _attempt_with_reads().calls.earliest("pk")
    for content in (b"", b"<b>", b"{}", b"[" * 60_000, b'["<b>"]', b'[{"body": "x"}]'):
        call.response, call.response_part = (
            sealed("response", content),
            1 if content == b'[{"body": "x"}]' else 0,
        )
        assert [response_content(call, "").problem, request_content(call, "").problem] == [ABSENT] * 2, (
            content
        )
        assert request_document(call) == {}


def test_responses_that_cannot_be_decrypted_are_reported() -> None:
    call = _attempt_with_reads().calls.earliest("pk")
    Payload.objects.update(encrypted=b"x" * 80)
    call.refresh_from_db()
    told = "Encrypted with a key that the hub no longer has."
    assert [response_content(call, "").problem, request_content(call, "").problem] == [told] * 2
    assert request_document(call) == {}


def test_a_deleted_payload_is_reported_with_the_given_reason() -> None:
    call = _attempt_with_reads().calls.earliest("pk")
    call.response = None
    assert [response_content(call, "Deleted.").problem, request_content(call, "Deleted.").problem] == [
        "Deleted."
    ] * 2
