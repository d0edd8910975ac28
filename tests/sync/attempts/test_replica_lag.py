"""The identity service that answers may lag behind the one that sent the webhook: wait a little, ask again."""

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


def told(hub: Hub, seconds: float) -> dict[str, str]:
    """A webhook that says that the person changed so many seconds from now; its answer."""
    at = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    answer = hub.post_signed(json.loads(EXAMPLE) | {"timestamp": at.replace("+00:00", "Z")})
    assert answer.status_code == 200
    return dict(answer.json())


def fetches(hub: Hub) -> int:
    return sum(each["method"] == "GET" for each in hub.identity.read_journal())


@contextmanager
def catching_up(hub: Hub) -> Iterator[None]:
    """The change that was told of arrives where it is read, right after it was read for the first time."""

    def change() -> None:
        until = time.monotonic() + 20
        while not any(each["ended"] for each in hub.identity.read_journal() if each["method"] == "GET"):
            assert time.monotonic() < until, "nobody asked"
            time.sleep(0.005)
        hub.change_email("anna.caught.up@example.com")

    changing = threading.Thread(target=change)
    changing.start()
    yield
    changing.join()


def test_an_entity_older_than_its_event_is_asked_for_three_times_more_and_then_taken(hub: Hub) -> None:
    address = hub.change_email("anna.lag@example.com")
    assert told(hub, 60)["status"] == "succeeded"
    assert fetches(hub) == 1 + len(plan.FETCH_RETRY_PAUSES) == 4
    assert hub.customer()["email"] == address


@pytest.mark.parametrize("when_gone", Route.DeletionPolicy)
def test_a_creation_of_what_is_not_there_yet_is_tried_again_and_arrives(hub: Hub, when_gone: str) -> None:
    """Whoever tells of it before the commit, and waits for the answer, has it only afterwards."""
    Route.objects.update(when_gone=when_gone)
    created = {"id": "LATE1", "entityType": "USER", "eventType": "CREATE"}
    answer = hub.post_signed(created, "msg_late")
    assert (answer.status_code, answer.json()["code"]) == (424, "identity-missing")
    assert answer.json()["retrying"] is True
    emails = [{"address": "late.one@example.com", "verified": True}]
    hub.identity.directory.create_record("users", {"id": "LATE1", "username": "late.one", "emails": emails})
    again = hub.post_signed(created, "msg_late")
    assert again.json()["results"][0]["action"] == "created"
    assert hub.customer("LATE1")["email"] == "late.one@example.com"


def test_a_creation_of_what_never_comes_is_dead_in_the_end_and_of_what_is_gone_again_done(hub: Hub) -> None:
    Route.objects.update(tries=1)
    created = {"id": "NEVER1", "entityType": "USER", "eventType": "CREATE"}
    assert hub.post_signed(created).json()["code"] == "identity-missing"
    assert Delivery.objects.get().state == State.DEAD
    gone = hub.post_signed(created | {"eventType": "DELETE"})
    assert (gone.status_code, gone.json()["status"]) == (200, "unchanged")


def test_what_arrives_while_it_waits_is_what_is_applied(hub: Hub) -> None:
    hub.change_email("anna.behind@example.com")
    with catching_up(hub):
        told(hub, 1.05)
    assert fetches(hub) > 1
    assert hub.customer()["email"] == "anna.caught.up@example.com"


@pytest.mark.parametrize("seconds", [-3600.0, -1.0, 0.0])
def test_an_entity_as_new_as_its_event_is_asked_for_once(hub: Hub, seconds: float) -> None:
    hub.change_email("anna.fresh@example.com")
    told(hub, seconds)
    assert fetches(hub) == 1


def test_a_wait_that_is_left_out_is_caught(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_is_older_than_event", lambda *_: False)
    hub.change_email("anna.behind@example.com")
    with catching_up(hub):
        told(hub, 1.05)
    assert fetches(hub) == 1
    assert hub.customer()["email"] == "anna.behind@example.com"
