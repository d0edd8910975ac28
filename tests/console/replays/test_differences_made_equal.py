"""The pages of a request that makes differences equal say so, before and after the events of its members are made."""

import csv

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sync.comparisons.make_equal import make_equal_at_once, select_differences
from sync.models import MemberState, PersonRequest, PersonRequestMember
from tests.support.builders.bulk_replays import REASON
from tests.support.builders.differences import a_comparison, a_difference, user_route
from tests.support.builders.history import a_route, a_source, logged_in
from tests.support.hub import Hub
from tests.support.pages import text_of
from webhooks.models import Event

pytestmark = pytest.mark.usefixtures("database")
PERSON_REQUEST = "/admin/sync/personrequest/"


@pytest.fixture
def support() -> Client:
    return logged_in("support")


def a_selection(client: Client) -> PersonRequest:
    """Select two differences, one of which is already selected by an older request that was started."""
    comparison = a_comparison(a_route(a_source()))
    for name in ("E1", "E2"):
        a_difference(comparison, "differs", name)
    by = User.objects.get(pk=client.session["_auth_user_id"])
    return select_differences(by, comparison, comparison.route, kinds=["differs"])


def test_the_selection_is_confirmed_started_and_listed_in_its_own_words(support: Client) -> None:
    selection = a_selection(support)
    page = text_of(support.get(f"{PERSON_REQUEST}{selection.uuid}/confirm/"))
    assert "<h1>Make 2 differences equal</h1>" in page
    assert "2 differences: USER of" in page
    assert "differs" in page
    assert "planned again one by one" in page
    assert "E1" in page
    assert "User updated" in page
    terms = {"reason": REASON, "pace": "normal", "pauses": "on"}
    answer = support.post(f"{PERSON_REQUEST}{selection.uuid}/confirm/", terms, follow=True)
    assert "<h1>Make 2 differences equal</h1>" in text_of(answer)
    assert "Make 2 differences equal: USER of" in text_of(support.get(PERSON_REQUEST))


def test_members_are_listed_and_downloaded_without_an_event(support: Client) -> None:
    selection = a_selection(support)
    PersonRequestMember.objects.filter(entity_id="E2").update(state=MemberState.SKIPPED, why="in-delivery")
    page = text_of(support.get(f"{PERSON_REQUEST}{selection.uuid}/events/"))
    assert "E1" in page
    assert "skipped: a delivery for the entity has not ended" in page
    answer = logged_in_administrator_csv(selection)
    assert [(row["reference"], row["entity_id"], row["became"]) for row in answer] == [
        ("", "E1", "waiting"),
        ("", "E2", "skipped"),
    ]


def logged_in_administrator_csv(selection: PersonRequest) -> list[dict[str, str]]:
    client = logged_in("administrator")
    PersonRequest.objects.filter(pk=selection.pk).update(requested_by=client.session["_auth_user_id"])
    answer = client.get(f"{PERSON_REQUEST}{selection.uuid}/events/?format=csv")
    lines = b"".join(answer.streaming_content).decode().splitlines()
    return list(csv.DictReader(lines))


def test_an_event_that_was_made_says_what_made_it_and_has_no_request(hub: Hub) -> None:
    support = logged_in("support")
    by = User.objects.get(pk=support.session["_auth_user_id"])
    make_equal_at_once(user_route(), "E1", "UPDATE", by=by, reason="she called")
    hub.wait_until_quiet()
    event = Event.objects.get()
    page = text_of(support.get(f"/admin/webhooks/event/{event.pk}/change/"))
    assert "a comparison" in page
    assert "she called" in page
    assert "make equal #" in page
    for words in ("Webhook requests and responses", "not signed", "SHA-256", "received"):
        assert words not in page, words
    single = text_of(support.get(f"{PERSON_REQUEST}{PersonRequest.objects.get().pk}/change/"))
    assert "<h1>Make equal: User updated, E1</h1>" in single
