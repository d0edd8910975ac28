"""A read replica of the identity service may lag behind the webhook: the hub waits a little and fetches again."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from sync.attempts import plan
from sync.models import Delivery, Route
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import State


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a tenth of the time: ten tests wait through all pauses."""
    pauses = tuple(seconds / 10 for seconds in plan.FETCH_RETRY_PAUSES)
    monkeypatch.setattr(plan, "FETCH_RETRY_PAUSES", pauses)


def post_event(hub: Hub, seconds: float) -> dict[str, str]:
    """Post a webhook about a change `seconds` from now. Returns the answer."""
    at = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    answer = hub.post_signed(json.loads(EXAMPLE) | {"timestamp": at.replace("+00:00", "Z")})
    assert answer.status_code == 200
    return dict(answer.json())


def fetches(hub: Hub) -> int:
    return sum(request["method"] == "GET" for request in hub.identity.read_journal())


@contextmanager
def catching_up(hub: Hub) -> Iterator[None]:
    """Let the announced change appear right after the first fetch."""

    def change() -> None:
        until = time.monotonic() + 20
        while not any(
            request["ended"] for request in hub.identity.read_journal() if request["method"] == "GET"
        ):
            assert time.monotonic() < until, "nothing was fetched"
            time.sleep(0.005)
        hub.change_email("anna.caught.up@example.com")

    changing = threading.Thread(target=change)
    changing.start()
    yield
    changing.join()


def test_an_entity_older_than_its_event_is_fetched_three_more_times_and_then_used(hub: Hub) -> None:
    address = hub.change_email("anna.lag@example.com")
    assert post_event(hub, 60)["status"] == "succeeded"
    assert fetches(hub) == 1 + len(plan.FETCH_RETRY_PAUSES) == 4
    assert hub.customer()["email"] == address


@pytest.mark.parametrize("when_deleted", Route.DeletionPolicy)
def test_a_creation_whose_entity_does_not_exist_yet_is_retried_and_delivered(
    hub: Hub, when_deleted: str
) -> None:
    """A source that sends before its own commit and waits for the answer has the entity only later."""
    Route.objects.update(when_deleted=when_deleted)
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


def test_the_entity_that_appears_during_the_wait_is_applied(hub: Hub) -> None:
    hub.change_email("anna.behind@example.com")
    with catching_up(hub):
        post_event(hub, 1.05)
    assert fetches(hub) > 1
    assert hub.customer()["email"] == "anna.caught.up@example.com"


@pytest.mark.parametrize("seconds", [-3600.0, -1.0, 0.0])
def test_an_entity_as_new_as_its_event_is_fetched_once(hub: Hub, seconds: float) -> None:
    hub.change_email("anna.fresh@example.com")
    post_event(hub, seconds)
    assert fetches(hub) == 1


def test_a_hub_that_does_not_wait_is_caught(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_is_older_than_event", lambda *_: False)
    hub.change_email("anna.behind@example.com")
    with catching_up(hub):
        post_event(hub, 1.05)
    assert fetches(hub) == 1
    assert hub.customer()["email"] == "anna.behind@example.com"
