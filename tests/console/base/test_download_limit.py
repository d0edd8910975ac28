"""Downloads hold a database connection while they are read, so few run at once. Other answers hold none."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from console.base.downloads import MAX_STREAMS, stream_limit
from sync.models import PersonRequest
from tests.support.people import browser, entries, event, source

EVENTS = "/admin/webhooks/event/download/csv?state=succeeded"
Begin = Callable[[str], Any]


@pytest.fixture
def auditor(db: None) -> Client:
    event(source())
    return browser("auditor")


def disconnect(answer: Any) -> None:
    """Close the answer as a server does when the reader disconnects; `close()` would end the connection too."""
    for close in answer._resource_closers:
        close()


@pytest.fixture
def begin(auditor: Client) -> Iterator[Begin]:
    """Begins a download whose reader takes its time, until the end of the test."""
    with ExitStack() as stack:

        def begun(address: str = EVENTS) -> Any:
            answer = auditor.get(address)
            assert answer.streaming
            stack.callback(disconnect, answer)
            return answer

        yield begun


def members() -> str:
    """Return the address of the downloadable events of a replay."""
    asked, now = User.objects.get(), timezone.now()
    replay = PersonRequest.objects.create(requested_by=asked, created_at=now, filter={}, frozen_at=now)
    return f"/admin/sync/personrequest/{replay.uuid}/events/?format=csv&member=failed"


@pytest.mark.submission
@pytest.mark.parametrize("of", ["events", "members"])
def test_a_download_beyond_the_limit_waits_and_is_not_recorded(
    auditor: Client, begin: Begin, of: str
) -> None:
    address = EVENTS if of == "events" else members()
    for _ in range(MAX_STREAMS):
        begin(address)
    refused = auditor.get(address, follow=True)
    assert refused.status_code == 200
    assert f"{MAX_STREAMS} downloads are already running." in refused.content.decode()
    (to, _), *_ = refused.redirect_chain
    assert to.partition("?")[2].startswith("state=succeeded" if of == "events" else "member=failed")
    assert len(entries("download.started") + entries("replay.downloaded")) == MAX_STREAMS


@pytest.mark.pure
def test_half_of_the_connections_are_reserved_for_webhooks() -> None:
    assert [stream_limit(pool) for pool in (1, 2, 5, 8, 100)] == [1, 1, 2, 4, 4]


def is_read(answer: Any) -> None:
    assert b"".join(answer.streaming_content).count(b"\n") == 2


def is_left(answer: Any) -> None:
    next(iter(answer.streaming_content))
    disconnect(answer)


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("ends", [is_read, is_left, disconnect])
def test_the_next_download_may_start_when_one_has_ended(auditor: Client, begin: Begin, ends: Any) -> None:
    first, *_ = [begin(EVENTS) for _ in range(MAX_STREAMS)]
    ends(first)
    begin(EVENTS)
    assert not auditor.get(EVENTS).streaming


def test_a_download_that_cannot_be_recorded_takes_no_slot(
    auditor: Client, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(MAX_STREAMS - 1):
        begin(EVENTS)
    with monkeypatch.context() as patched, suppress(ZeroDivisionError):
        patched.setattr("console.base.downloads.record_action", lambda *_: 1 / 0)
        auditor.get(EVENTS)
    begin(EVENTS)


@pytest.mark.writers_at_once
def test_a_finished_answer_holds_no_connection(database: None) -> None:
    client = browser("auditor")
    assert connection.connection is not None
    assert client.get("/admin/webhooks/event/").status_code == 200
    assert connection.connection is None
