"""Find a person by whatever a caller says, and what a search tells a role that may not see people."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from console.entities import find
from console.ui.links import entity_url
from sync.models import Link
from tests.support.builders.history import a_receipt, an_event
from tests.support.database.query_plans import find_unindexed_statements, recorded_statements
from tests.support.hub import ANNA, EXAMPLE, Hub, new_sealing_key
from tests.support.pages import visible_text
from tests.support.people import browser, entries
from webhooks.models import Event, Receipt
from webhooks.models.rate_limit import RateLimit

FIND = "/admin/find/"
EMAIL = "anna.aalto@example.com"


@pytest.fixture(autouse=True)
def _search_key(settings: Any) -> None:
    settings.SEARCH_KEYS = [new_sealing_key()]


@pytest.fixture
def anna(hub: Hub) -> Event:
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    return Event.objects.get()


def search(client: Client, term: str) -> Any:
    return client.post(FIND, {"term": term})


def opened(client: Client, term: str) -> str:
    """Return the address that a search leads to; empty if it leads nowhere."""
    return str(search(client, term).headers.get("Location", ""))


def test_each_identifier_and_value_opens_its_person_or_event(anna: Event) -> None:
    """Holds the seven things that a caller can say, for a person who may see people and one who may not."""
    event, person = f"/admin/webhooks/event/{anna.pk}/change/", entity_url("USER", ANNA)
    Event.objects.filter(pk=anna.pk).update(event_id="msg-1")
    record = Link.objects.get().record_id
    receipt = Receipt.objects.get()
    said = {
        anna.reference: event,
        f"…{anna.reference[-6:]}": event,
        anna.reference[-8:].lower(): event,
        "msg-1": event,
        str(receipt.uuid): event,
        f"https://hub.example.com{event}": event,
        ANNA: person,
        ANNA.lower(): person,
        record: person,
    }
    values = {EMAIL.upper(): person, "anna aalto": person, "Aalto": person, "040 1234567": person}
    support, auditor = browser("support"), browser("auditor")
    assert {term: opened(support, term) for term in said | values} == said | values
    assert {term: opened(auditor, term) for term in said} == said
    # As for a value that nobody has.
    answers = [search(auditor, term) for term in (*values, "nobody@example.com")]
    assert {answer.status_code for answer in answers} == {200}
    assert len({visible_text(answer) for answer in answers}) == 1
    assert "requires the permission" in visible_text(answers[0])


@pytest.mark.django_db
def test_an_id_in_mixed_case_is_found_in_any_case() -> None:
    for number, entity_id in enumerate(("aBc1", "AbC1", "lower9", "Grüße1")):
        an_event(number, entity_id=entity_id)
    client = browser("support")
    assert opened(client, "LOWER9") == entity_url("USER", "lower9")
    assert opened(client, "aBc1") == ""
    listed = search(client, "ABC1").content.decode()
    assert "aBc1" in listed
    assert "AbC1" in listed
    assert opened(client, "grüße1") == entity_url("USER", "Grüße1")


def test_several_people_are_a_list_with_former_ones_last(anna: Event, hub: Hub) -> None:
    body = {"name": {"givenName": "Bea", "familyName": "Aalto"}, "emails": [{"address": "bea@example.com"}]}
    other = hub.identity.directory.create_record("users", body | {"username": "bea"})["id"]
    hub.post_signed(EXAMPLE.replace(ANNA.encode(), str(other).encode()), "msg-bea")
    hub.wait_until_quiet()
    name = {"givenName": "Anna", "familyName": "Koski"}
    hub.identity.directory.update_record("users", ANNA, {"name": name}, replaces=False)
    hub.post_signed(EXAMPLE, "msg-anna")
    hub.wait_until_quiet()
    client = browser("support")
    answer = search(client, "aalto")
    hits = [(row.hit.entity_id, row.hit.is_former) for row in answer.context["rows"]]
    assert hits == [(other, False), (ANNA, True)]
    newest = [row.newest.pk for row in answer.context["rows"]]
    assert newest == [Event.objects.filter(entity_id=entity).latest("pk").pk for entity in (other, ANNA)]
    assert "former" in visible_text(answer)
    assert [row.name for row in answer.context["rows"]] == ["Bea Aalto", "Anna Koski"]
    assert "Anna Koski" in visible_text(answer)
    an_event(9, entity_id=ANNA, entity_type="GROUP")
    without_contents = search(browser("auditor"), ANNA)
    assert [row.name for row in without_contents.context["rows"]] == ["", ""]
    assert opened(client, "anna aalto") == entity_url("USER", ANNA)
    assert "former one" in visible_text(client.get(entity_url("USER", ANNA)))


def test_a_search_by_value_is_on_the_audit_log_without_the_value(anna: Event) -> None:
    client = browser("support")
    for term in (EMAIL, "nobody@example.com", anna.reference, ANNA):
        search(client, term)
    found = entries("people.searched")
    assert [entry["details"]["hits"] for entry in found] == [1, 0]
    assert "@" not in str(found)


def test_a_person_searches_by_value_20_times_a_minute(anna: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RateLimit(20 / 60, 20) == find.VALUE_SEARCHES
    # The burst alone: a slow machine would earn further searches meanwhile.
    monkeypatch.setattr(find, "VALUE_SEARCHES", RateLimit(1 / 3600, 20))
    client, other = browser("support"), browser("support", "other")
    assert {opened(client, EMAIL) for _ in range(20)} == {entity_url("USER", ANNA)}
    refused = search(client, EMAIL)
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 3600
    assert len(entries("people.searched")) == 20
    assert opened(client, ANNA) == opened(other, EMAIL) == entity_url("USER", ANNA)


def test_without_a_key_the_page_says_that_values_cannot_be_searched(anna: Event, settings: Any) -> None:
    settings.SEARCH_KEYS = []
    answer = search(browser("support"), EMAIL)
    assert answer.status_code == 200
    assert "has not set up a search key" in visible_text(answer)
    assert not entries("people.searched")


@pytest.mark.django_db
def test_each_lookup_of_a_search_uses_an_index() -> None:
    """Holds that a search costs the same however many events and people there are."""
    an_event(0, entity_id="aBc1")
    for number, entity_type in enumerate(("USER", "GROUP"), 1):
        an_event(number, entity_id="both", entity_type=entity_type)
    client = browser("support")
    with recorded_statements() as statements:
        for term in ("nobody", "AnNa Maria Aalto", "V6KF98", EMAIL, "040 1234567", ANNA, "both"):
            search(client, term)
    ours = [
        query
        for query in statements
        if re.search(r"webhooks_(event|receipt)|searchdigest|sync_link", query.sql)
    ]
    assert len({query.sql for query in ours}) >= 10
    assert find_unindexed_statements(connection, ours) == {}


@pytest.mark.django_db
def test_the_end_of_a_request_without_an_event_opens_the_request() -> None:
    receipt = a_receipt(None, status=400, code="not-json")
    address = f"/admin/webhooks/receipt/{receipt.pk}/change/"
    assert opened(browser("support"), receipt.own_reference[-6:]) == address
