"""The page that tries a webhook format out shows what each entry gives, and nothing of an event that is not revealed."""

import json
from typing import Any

import pytest
from django.http import HttpResponse

from audit.models import Entry
from tests.support.hub import ANNA, Hub
from tests.support.people import browser
from webhooks.models import Event, Source

FORMAT = {
    "events": "body.users",
    "id": "event.key",
    "entity_type": {"constant": "USER"},
    "event_type": "body.kind",
}
BODY = {"kind": "update", "users": [{"key": "anna-1"}, {"key": "no id"}]}
REASON = "checking the sender's new format"


def try_out(
    unsigned_source: Source, role: str = "administrator", client: Any = None, **posted: Any
) -> HttpResponse:
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, indent=1)
        for name, value in {"webhook_format": FORMAT, "body": BODY, **posted}.items()
    }
    return (client or browser(role, "trying")).post(
        f"/admin/webhooks/source/{unsigned_source.pk}/format/", texts
    )


@pytest.fixture
def unsigned_source(hub: Hub) -> Source:
    return Source.objects.get(slug="aurora-unsigned")


def test_each_event_of_a_pasted_request_shows_its_values_or_the_entry_at_fault(
    unsigned_source: Source,
) -> None:
    page = try_out(unsigned_source).content.decode()
    assert "2 events" in page
    assert "&quot;anna-1&quot;" in page
    assert "UPDATE USER anna-1" in page
    assert "wrong-id" in page
    assert Event.objects.count() == 0


def test_headers_and_the_query_can_be_pasted_too(unsigned_source: Source) -> None:
    form = FORMAT | {"event_type": 'headers."x-kind"', "event_id": "query.n"}
    page = try_out(
        unsigned_source, webhook_format=form, headers={"X-Kind": "DELETE"}, query="n=17"
    ).content.decode()
    assert "&quot;DELETE&quot;" in page
    assert "&quot;17&quot;" in page


def test_a_large_body_is_tried_out_whole_and_never_cut(unsigned_source: Source) -> None:
    body = json.dumps(BODY | {"text": "ä" * 150_000})
    assert 300_000 < len(body) < 1_048_576
    client = browser("administrator", "trying")
    page = try_out(unsigned_source, client=client, body=body).content.decode()
    assert "too-large" in page
    assert "anna-1&quot;</span>" not in page
    larger = FORMAT | {"max_bytes": 1_048_576}
    page = try_out(unsigned_source, client=client, webhook_format=larger, body=body).content.decode()
    assert "2 events" in page


def test_a_text_that_is_too_long_is_refused_and_not_cut(unsigned_source: Source) -> None:
    client = browser("administrator", "trying")
    for field, text in (
        ("body", json.dumps(BODY) + " " * 1_048_576),
        ("query", "n=1" + "7" * 65_536),
        ("headers", " " * 65_537),
    ):
        assert "2 events" not in try_out(unsigned_source, client=client, **{field: text}).content.decode()


FORM_FORMAT = {
    "content_types": ["application/x-www-form-urlencoded"],
    "json_fields": ["payload"],
    "id": "event.payload.user",
    "entity_type": {"constant": "USER"},
    "event_type": "event.kind",
}
EMPTY_FORMAT = {
    "allow_empty_body": True,
    "id": 'headers."x-id"',
    "entity_type": {"constant": "USER"},
    "event_type": {"constant": "UPDATE"},
}
FORM_BODY = "kind=update&payload=%7B%22user%22%3A%22anna-1%22%7D\r\n"


@pytest.mark.submission
def test_a_pasted_form_and_an_empty_body_are_read_as_such(unsigned_source: Source) -> None:
    client = browser("administrator", "trying")
    both = FORM_FORMAT | {"content_types": ["application/json", "application/x-www-form-urlencoded"]}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for posted, expected in (
        ({"webhook_format": FORM_FORMAT}, "UPDATE USER anna-1"),
        ({"webhook_format": both}, "(not-json)"),
        ({"webhook_format": both, "headers": headers}, "UPDATE USER anna-1"),
        ({"webhook_format": EMPTY_FORMAT, "headers": {"X-Id": "anna-1"}, "body": ""}, "UPDATE USER anna-1"),
    ):
        page = try_out(unsigned_source, client=client, **{"body": FORM_BODY} | posted).content.decode()
        assert expected in page


def test_an_impossible_trial_is_explained_with_its_line(unsigned_source: Source) -> None:
    client = browser("administrator", "trying")
    for posted, sentence in (
        ({"webhook_format": '{\n "id": "a["}'}, "Line 2, id: "),
        ({"webhook_format": "{"}, "Line 1:"),
        ({"body": "{"}, "(not-json)"),
        ({"body": {"users": 1}}, "(wrong-events)"),
        ({"headers": "[]"}, "errorlist"),
    ):
        assert sentence in try_out(unsigned_source, client=client, **posted).content.decode()


def test_a_past_request_is_evaluated_only_while_it_is_revealed(hub: Hub, unsigned_source: Source) -> None:
    hub.post({"id": ANNA, "entityType": "USER", "eventType": "UPDATE", "note": "personal-note"})
    event = Event.objects.get()
    form = {"data": "{note: event.note}"}
    client = browser("administrator+support")
    masked = try_out(
        unsigned_source, client=client, webhook_format=form, event=str(event.pk), body=""
    ).content.decode()
    assert "personal-note" not in masked
    shown = try_out(
        unsigned_source,
        client=client,
        webhook_format=form,
        event=str(event.pk),
        body="",
        reveal="1",
        reason=REASON,
    ).content.decode()
    assert "personal-note" in shown
    entry = Entry.objects.get(action="event.revealed")
    assert entry.stream == event.stream


def test_without_the_permission_no_past_request_can_be_chosen(hub: Hub, unsigned_source: Source) -> None:
    hub.post({"id": ANNA, "entityType": "USER", "eventType": "UPDATE", "note": "personal-note"})
    form, client = {"data": "{note: event.note}"}, browser("administrator")
    page = try_out(unsigned_source, client=client, event=str(Event.objects.get().pk), webhook_format=form)
    assert "personal-note" not in page.content.decode()
    page = client.get(f"/admin/webhooks/source/{unsigned_source.pk}/format/")
    assert "personal-note" not in page.content.decode()


def test_an_event_of_another_source_is_not_read(hub: Hub, unsigned_source: Source) -> None:
    hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE", "note": "of-another"})
    event = Event.objects.get()
    page = try_out(
        unsigned_source,
        client=browser("administrator+support"),
        webhook_format={"data": "{note: event.note}"},
        event=str(event.pk),
        reveal="1",
        reason=REASON,
    ).content.decode()
    assert "of-another" not in page
    assert not Entry.objects.filter(action="event.revealed").exists()
