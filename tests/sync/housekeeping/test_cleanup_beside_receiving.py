"""Retention beside what other processes do: receiving, and deleting rows of the same attempt."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from database.clock import read_clock
from database.sqlite.writer_queue import WriterQueue
from sync.housekeeping import batch_deletion as housekeeping_prune
from sync.housekeeping.retention_rules import prune_expired
from sync.models import Call
from tests.support.builders.history import a_call, a_delivery, a_route, an_attempt, an_event, sealed
from tests.support.hub import EXAMPLE, Hub
from tests.support.threads import in_threads, wait_until
from webhooks.models import Event, Payload

# Both need one process to be blocked by the other, for which they give it a tenth of a second.
pytestmark = [pytest.mark.nightly, pytest.mark.concurrent]


def test_a_webhook_during_the_cleanup_waits_for_one_batch_at_most(
    hub: Hub, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request starts while the second batch locks the database; when the fourth starts, it is stored."""
    settings.KEEP_PAYLOADS_DAYS = 10
    monkeypatch.setattr(housekeeping_prune, "BATCH_SIZE", 4)
    Payload.objects.bulk_create(Payload.new(Payload.Kind.WEBHOOK, b"old", None) for _ in range(24))
    Payload.objects.update(created_at=read_clock() - timedelta(days=400))
    answers: list[int] = []
    posted = threading.Thread(target=lambda: answers.append(hub.post_signed(EXAMPLE).status_code))
    stored: list[bool] = []
    delete, acquire = housekeeping_prune.delete_payloads, WriterQueue.acquire
    wants_to_write = threading.Event()

    def acquire_for_request(queue: WriterQueue) -> None:
        if threading.current_thread() is posted:
            wants_to_write.set()
        acquire(queue)

    def held(keys: list[int]) -> None:
        stored.append(Event.objects.exists())
        delete(keys)
        if len(stored) == 2:
            posted.start()
            if connection.vendor == "postgresql":
                wait_until(Event.objects.exists)
            else:
                assert wants_to_write.wait(20)
                threading.Event().wait(0.1)

    monkeypatch.setattr(WriterQueue, "acquire", acquire_for_request)
    monkeypatch.setattr(housekeeping_prune, "delete_payloads", held)
    prune_expired()
    posted.join(10)
    hub.wait_until_quiet()
    assert answers == [200]
    assert stored[:2] == [False, False]
    assert len(stored) >= 6
    assert all(stored[3:]), "it waited for more than the batch that ran and the one that had begun"


# SQLite has one writer at a time.
@pytest.mark.only_postgresql
def test_two_processes_that_delete_the_calls_of_one_payload_leave_no_payload(database: None) -> None:
    """Both have deleted their call when each looks who else refers to the payload."""
    event = an_event()
    attempt = an_attempt(a_delivery(event, a_route(event.source)), 1)
    shared = sealed("response", [{"body": "first"}, {"body": "second"}])
    calls = [a_call(attempt, request=None, response=shared, response_part=part) for part in (0, 1)]
    both = threading.Barrier(2)

    def delete(number: int) -> None:
        with transaction.atomic():
            both.wait(60)
            housekeeping_prune.delete_calls(Call.objects.filter(pk=calls[number].pk))
            # The other one waits for this commit meanwhile.
            threading.Event().wait(0.1)

    in_threads(delete, threads=2)
    assert not Call.objects.exists()
    assert not Payload.objects.filter(pk=shared.pk).exists()
