"""A read replica of the identity service may lag behind the webhook: the hub waits a little and fetches again."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from sync.attempts import plan
from sync.models import Delivery, Route
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import State


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let pauses between fetches take no time. Returns the pauses that were made."""
    made: list[float] = []
    monkeypatch.setattr(plan, "time", SimpleNamespace(sleep=made.append))
    return made


def post_event(hub: Hub, seconds: float) -> dict[str, str]:
    """Post a webhook about a change `seconds` from now. Returns the answer."""
    at = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    answer = hub.post_signed(json.loads(EXAMPLE) | {"timestamp": at.replace("+00:00", "Z")})
    assert answer.status_code == 200
    return dict(answer.json())


def fetches(hub: Hub) -> int:
    return sum(request["method"] == "GET" for request in hub.identity.read_journal())


@pytest.mark.promise("I7")
def test_an_entity_older_than_its_event_is_fetched_three_more_times_and_then_used(
    hub: Hub, pauses: list[float]
) -> None:
    address = hub.change_email("anna.lag@example.com")
    assert post_event(hub, 60)["status"] == "succeeded"
    assert (fetches(hub), pauses) == (4, [0.2, 0.5, 1.0])
    assert hub.customer()["email"] == address


@pytest.mark.submission
def test_a_creation_whose_entity_does_not_exist_yet_is_retried_and_delivered(hub: Hub) -> None:
    """A source that sends before its own commit and waits for the answer has the entity only later."""
    Route.objects.update(when_deleted=Route.DeletionPolicy.IGNORE)
    created = {"id": "LATE1", "entityType": "USER", "eventType": "CREATE"}
    answer = hub.post_signed(created, "msg_late")
    assert (answer.status_code, answer.json()["code"]) == (424, "identity-missing")
    assert answer.json()["retrying"] is True
    emails = [{"address": "late.one@example.com", "verified": True}]
    hub.identity.directory.create_record("users", {"id": "LATE1", "username": "late.one", "emails": emails})
    again = hub.post_signed(created, "msg_late")
    assert again.json()["results"][0]["action"] == "created"
    assert hub.customer("LATE1")["email"] == "late.one@example.com"


def test_a_creation_fails_if_its_entity_never_appears_and_succeeds_if_it_was_deleted_again(hub: Hub) -> None:
    Route.objects.update(max_attempts=1)
    created = {"id": "NEVER1", "entityType": "USER", "eventType": "CREATE"}
    assert hub.post_signed(created).json()["code"] == "identity-missing"
    assert Delivery.objects.get().state == State.DEAD
    deletion = hub.post_signed(created | {"eventType": "DELETE"})
    assert (deletion.status_code, deletion.json()["status"]) == (200, "unchanged")


def test_the_entity_that_appears_during_the_wait_is_applied(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def catch_up(_: float) -> None:
        hub.change_email("anna.caught.up@example.com")

    monkeypatch.setattr(plan, "time", SimpleNamespace(sleep=catch_up))
    hub.change_email("anna.behind@example.com")
    post_event(hub, 60)
    assert fetches(hub) > 1
    assert hub.customer()["email"] == "anna.caught.up@example.com"


def test_an_entity_as_new_as_its_event_is_fetched_once(hub: Hub) -> None:
    hub.change_email("anna.fresh@example.com")
    post_event(hub, 0.0)
    assert fetches(hub) == 1
