"""The list and the page of replays that did not run as a bulk replay."""

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sync.models import Delivery, PersonRequest, PersonRequestMember, PersonRequestState
from sync.operations.manual_closing import close_manually
from sync.replays.requests import request_replay
from tests.support.builders.failed_events import a_failed_event
from tests.support.builders.history import (
    a_delivery,
    a_replay,
    a_route,
    a_source,
    an_attempt,
    an_event,
    logged_in,
)
from tests.support.pages import without_tags
from webhooks.models import Event

pytestmark = pytest.mark.django_db
LIST = "/admin/sync/personrequest/"


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    return without_tags(answer.content.decode().partition("<main")[2])


@pytest.fixture
def support() -> Client:
    return logged_in("support")


@pytest.fixture
def maija() -> User:
    return User.objects.create_user("maija")


def tried(event: Event, by: User, outcome: str, code: str = "") -> PersonRequest:
    replay = a_replay(by, events=1, deliveries=1)
    an_attempt(event.deliveries.get(), 2, cause="replay", person_request=replay, outcome=outcome, code=code)
    return replay


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        ("started", "", "In progress"),
        ("held", "held", "Held for approval"),
        ("unchanged", "", "Nothing to change"),
        ("succeeded", "", "Succeeded"),
    ],
)
def test_a_replay_of_one_event_shows_the_event_and_the_result(
    support: Client, maija: User, outcome: str, code: str, said: str
) -> None:
    event = a_failed_event()
    replay = tried(event, maija, outcome, code)
    for page in (LIST, f"{LIST}{replay.pk}/change/"):
        text = text_of(support.get(page))
        assert f"User updated, {event.entity_id}" in text
        assert said in text
        assert "Finished" not in text


def test_waiting_replays_are_found_among_many_others(support: Client, maija: User) -> None:
    route = a_route(a_source())
    failed = [an_event(number, state="dead", code="target-rejected") for number in (1, 2)]
    for event in failed:
        a_delivery(event, route)
    first = request_replay(failed[:1], by=maija, reason="the shop was down").replay
    many = a_bulk(maija, state=PersonRequestState.RUNNING)
    for number in range(3, 63):
        a_delivery(an_event(number, state="pending"), route, state="pending", person_request=many)
    last = request_replay(failed[1:], by=maija, reason="the shop was down").replay
    assert first.pk < many.pk < last.pk
    assert text_of(support.get(LIST)).count("Queued") == 2


def test_a_replay_without_a_route_says_that_nothing_was_sent(support: Client, maija: User) -> None:
    replay = request_replay([an_event(entity_type="DEVICE")], by=maija, reason="why").replay
    assert "Nothing was sent" in text_of(support.get(LIST))
    assert "no route for this event" in text_of(support.get(f"{LIST}{replay.pk}/change/"))


@pytest.mark.submission
def test_closed_events_are_listed_until_they_are_replayed(support: Client, maija: User) -> None:
    route = a_route(a_source())
    failed = [an_event(number, state="dead", code="target-rejected") for number in (1, 2)]
    chosen = [a_delivery(event, route).pk for event in failed]
    close_manually(chosen, by=maija, reason="put right in the shop", key=uuid4())
    page = f"{LIST}{PersonRequest.objects.get().pk}/change/"
    answer = support.get(page)
    assert {row.event for row in answer.context["rows"]} == set(failed)
    assert text_of(answer).count("Closed") == 2
    request_replay(failed[:1], by=maija, reason="after all")
    answer = support.get(page)
    assert [row.event for row in answer.context["rows"]] == failed[1:]


def a_bulk(by: User, **values: Any) -> PersonRequest:
    replay = a_replay(
        by, frozen_at=an_event(99).received_at, started_at=an_event(98).received_at, total=5, **values
    )
    return PersonRequest.objects.get(pk=replay.pk)


@pytest.mark.submission
def test_the_person_who_stopped_or_declined_is_shown(support: Client, maija: User) -> None:
    stopped = a_bulk(maija, state=PersonRequestState.STOPPED, paused_by=maija, events=2, succeeded=2)
    assert "Stopped by maija. Not sent: 3 events." in text_of(support.get(f"{LIST}{stopped.pk}/change/"))
    stopping = a_bulk(maija, state=PersonRequestState.STOPPING, paused_by=maija, events=2, succeeded=1)
    assert "Stopping" in text_of(support.get(f"{LIST}{stopping.pk}/change/"))
    antti = User.objects.create_user("antti")
    declined = a_bulk(maija, state=PersonRequestState.STOPPED, paused_by=antti, decided_by=antti)
    text = text_of(support.get(f"{LIST}{declined.pk}/change/"))
    assert "Rejected by antti. Nothing was sent." in text
    assert "approved by" not in text


@pytest.mark.submission
def test_a_failure_that_will_be_retried_is_no_result_of_a_replay(support: Client, maija: User) -> None:
    event = a_failed_event()
    delivery = event.deliveries.get()
    replay = a_replay(maija, events=1, deliveries=1)
    an_attempt(delivery, 2, cause="replay", person_request=replay, is_retryable=True)
    event.deliveries.update(state="retrying", last_number=2)
    pages = (LIST, f"{LIST}{replay.pk}/change/")

    def results() -> list[str]:
        words = ("Failed, will be retried", "Failed again", "Succeeded")
        texts = [text_of(support.get(page)) for page in pages]
        return [word for text in texts for word in words if word in text]

    assert results() == ["Failed, will be retried"] * 2
    an_attempt(delivery, 3, outcome="succeeded", code="succeeded")
    event.deliveries.update(state="succeeded", last_number=3)
    assert results() == ["Succeeded"] * 2


@pytest.mark.submission
def test_the_result_of_a_later_replay_is_not_that_of_an_earlier_one(support: Client, maija: User) -> None:
    event = a_failed_event()
    delivery = event.deliveries.get()
    first, later = (a_replay(maija, events=1, deliveries=1) for _ in range(2))
    an_attempt(delivery, 2, cause="replay", person_request=first, is_retryable=True)
    an_attempt(delivery, 3, cause="replay", person_request=later, outcome="succeeded", code="succeeded")
    event.deliveries.update(state="succeeded", last_number=3)
    pages = [text_of(support.get(f"{LIST}{replay.pk}/change/")) for replay in (first, later)]
    assert ["Failed again" in page for page in pages] == [True, False]


@pytest.mark.submission
def test_only_what_is_still_failed_is_offered_again(support: Client, maija: User) -> None:
    route = a_route(a_source())
    failed = [an_event(number, state="dead", code="target-rejected") for number in (1, 2)]
    deliveries = [a_delivery(event, route) for event in failed]
    replay = a_bulk(maija, state=PersonRequestState.FINISHED, events=2, failed=2)
    for event in failed:
        PersonRequestMember.objects.create(
            person_request=replay, event=event, state="failed", why="target-rejected", at=event.received_at
        )
    page = f"{LIST}{replay.pk}/change/"
    assert "Replay 2 failed events…" in text_of(support.get(page))
    Delivery.objects.filter(pk=deliveries[0].pk).update(state="succeeded")
    text = text_of(support.get(page))
    assert "Replay 1 failed event…" in text
    assert "1 event that failed again is no longer failed" in text
    Delivery.objects.filter(pk=deliveries[1].pk).update(state="unchanged")
    text = text_of(support.get(page))
    assert "failed event" not in text.replace("events that failed", "")
    assert "2 events that failed again are no longer failed" in text
    support.post(f"{LIST}{replay.uuid}/again/".replace("/change", ""))
    assert not PersonRequest.objects.filter(state=PersonRequestState.CHOSEN).exists()
