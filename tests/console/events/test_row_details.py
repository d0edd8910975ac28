"""What a row of the event list says: whom it is about, which fields, and why it failed; and to whom."""

import re
from typing import Any

import pytest
from django.db import transaction

from audit.entries.append import NewEntry, append_entries
from tests.support.builders.history import (
    a_delivery,
    a_route,
    a_source,
    an_attempt,
    an_event,
    logged_in,
    sealed_findings,
)
from webhooks.models import Event

pytestmark = pytest.mark.django_db
LIST = "/admin/webhooks/event/"
SAME = {"first_name": "Anna", "last_name": "Aalto", "external_id": "USR-1"}
CHANGE = {
    "action": "update",
    "record": "4711",
    "fields": [{"name": "email", "before": "anna@example.com", "after": "taken@example.com"}],
    "same": SAME,
}
ANSWER = {
    "sentence": "taken@example.com already belongs to another customer.",
    "errors": [{"field": "email", "code": "duplicate", "detail": ""}],
}


def a_failed_event(**parts: Any) -> Event:
    """Create an event whose second attempt failed with these findings; the first found something else."""
    event = an_event(1, state="dead", code="target-rejected")
    delivery = a_delivery(event, a_route(event.source), last_number=2)
    earlier = {"change": {**CHANGE, "same": {"first_name": "Earlier"}}}
    an_attempt(delivery, 1, code="target-unavailable", findings=sealed_findings(**earlier))
    an_attempt(delivery, 2, code="target-rejected", findings=sealed_findings(**parts))
    return event


def row_of(role: str, **query: str) -> tuple[Any, str]:
    """Return the only row of the list, and the text of the page."""
    page = logged_in(role).get(LIST, query)
    [row] = page.context["page"].rows
    return row, page.content.decode()


def test_a_failed_row_says_who_which_field_and_why_in_the_words_of_the_system() -> None:
    a_failed_event(change=CHANGE, answer=ANSWER)
    row, text = row_of("support")
    assert (row.name, list(row.fields)) == ("Anna Aalto", ["email"])
    assert row.reason == "The shop: “••• already belongs to another customer.”"
    assert re.search('title="UPDATE USER"[^>]*>User updated</a>', text)
    assert "taken@example.com" not in text


def test_people_who_may_not_see_payload_contents_see_the_id_and_the_names_of_the_fields() -> None:
    event = a_failed_event(change=CHANGE, answer=ANSWER)
    delivery = event.deliveries.get()
    with transaction.atomic():
        append_entries(
            NewEntry(delivery.stream, "attempt.failed", details={"fields": ["phone"]}),
            NewEntry(delivery.stream, "attempt.failed", details={"fields": ["email", "phone"]}),
        )
    row, text = row_of("auditor")
    assert (row.name, list(row.fields)) == ("", ["email", "phone"])
    assert row.reason == "The shop rejected the change"
    assert ">USR-1</a>" in re.sub(r"\s*([<>])\s*", r"\1", text)
    assert not any(value in text for value in ("Anna", "Aalto", "already belongs"))


def test_what_the_hub_itself_found_is_told_without_the_name_of_the_field_before_it() -> None:
    detail = "required, but `entity.phone` matched nothing"
    event = a_failed_event(
        answer={"sentence": None, "errors": [{"field": "phone", "code": "missing", "detail": detail}]}
    )
    Event.objects.filter(pk=event.pk).update(code="unmappable")
    event.deliveries.update(code="unmappable")
    event.deliveries.get().attempts.update(code="unmappable")
    row, _text = row_of("support")
    assert (row.name, list(row.fields)) == ("", ["phone"])
    assert row.reason == "Required field “phone” is empty: `entity.phone` matched nothing"


def test_of_several_deliveries_the_one_that_decided_the_state_counts() -> None:
    event = a_failed_event(change=CHANGE, answer=ANSWER)
    other = a_delivery(event, a_route(a_source("other")), state="succeeded", code="", last_number=1)
    an_attempt(other, 1, findings=sealed_findings(change={**CHANGE, "same": {"name": "Someone else"}}))
    assert row_of("support")[0].name == "Anna Aalto"


def test_a_row_whose_payload_cannot_be_decrypted_is_shown_with_its_id() -> None:
    event = a_failed_event(change=CHANGE, answer=ANSWER)
    findings = event.deliveries.get().attempts.get(number=2).findings
    assert findings is not None
    type(findings).objects.update(encrypted=b"damaged")
    row, _text = row_of("support")
    assert (row.name, row.fields, row.reason) == ("", (), "The shop rejected the change")


@pytest.mark.one_database
def test_chosen_columns_last_in_the_browser_and_keep_the_filters() -> None:
    an_event(1, state="dead", code="target-rejected")
    support = logged_in("support")
    support.cookies["event_columns"] = "nothing.source"
    assert support.get(LIST).context["page"].shown_columns == ["source"]
    answer = support.post(
        f"{LIST}columns/", {"column": ["source", "attempts", "<b>"], "query": "?state=dead&next=//evil.test"}
    )
    assert (answer.status_code, answer["Location"]) == (302, f"{LIST}?state=dead")
    cookie = answer.cookies["event_columns"]
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (LIST, True, "Lax")
    page = support.get(f"{LIST}?state=dead")
    assert page.context["page"].shown_columns == ["attempts", "source"]
    assert "Source</th>" in page.content.decode()
    assert page.context["page"].params == {"state": "dead"}
