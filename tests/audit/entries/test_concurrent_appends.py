"""Another process appends to the same streams of the audit log during a webhook: this costs one more read."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.models import Entry, Stub
from sync.attempts import delivery_run as attempts_run
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Delivery
from tests.support.audit.chain_faults import find_chain_faults
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Event, Receipt
from webhooks.receiving import answer_storage

pytestmark = pytest.mark.concurrent

ACK = json.loads(EXAMPLE) | {"respond": "ack"}


def meddle(*streams: str) -> None:
    with transaction.atomic():
        append_entries(*(NewEntry(stream, "test.meddled") for stream in streams))


def actions(stream: str) -> list[str]:
    return list(Entry.objects.filter(stream=stream).order_by("stream_seq").values_list("action", flat=True))


def test_an_attempt_ends_although_its_streams_have_new_entries(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = attempts_run._run_attempt

    def meanwhile(taken: Any, *arguments: Any) -> Any:
        verdict = run(taken, *arguments)
        meddle(taken.delivery.stream, taken.delivery.event.stream)
        return verdict

    monkeypatch.setattr(attempts_run, "_run_attempt", meanwhile)
    hub.change_email("anna.meddled@example.com")
    assert hub.post_signed(EXAMPLE).json()["status"] == "succeeded"
    event, attempt = Event.objects.get(), Attempt.objects.get()
    assert actions(event.stream) == ["webhook.received", "test.meddled", "webhook.answered"]
    assert actions(attempt.delivery.stream) == ["attempt.started", "test.meddled", "attempt.succeeded"]
    assert find_chain_faults() == []


def test_a_first_attempt_starts_although_its_stream_exists(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    hub.change_email("anna.begun@example.com")
    assert hub.post_signed(ACK).status_code == 202
    delivery = Delivery.objects.get()
    meddle(delivery.stream)
    run_due_deliveries()
    assert hub.customer()["email"] == "anna.begun@example.com"
    assert actions(delivery.stream) == ["test.meddled", "attempt.started", "attempt.succeeded"]
    assert find_chain_faults() == []


def test_a_first_attempt_continues_a_stream_with_pruned_entries(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No constraint refuses a second first entry if the original one was pruned."""
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    hub.change_email("anna.late@example.com")
    assert hub.post_signed(ACK).status_code == 202
    delivery = Delivery.objects.get()
    Stub.objects.create(stream=delivery.stream, seq=3, leaf=bytes(range(32)), segment=1)
    Event.objects.update(received_at=timezone.now() - timedelta(days=40))
    run_due_deliveries()
    assert hub.customer()["email"] == "anna.late@example.com"
    begun = Entry.objects.filter(stream=delivery.stream).earliest("stream_seq")
    assert (begun.stream_seq, bytes(begun.prev_leaf or b"")) == (4, bytes(range(32)))


@pytest.mark.writers_at_once
def test_an_answer_is_stored_although_another_entry_was_appended(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_append = answer_storage.prepare_append

    def other() -> None:
        try:
            meddle(Event.objects.get().stream)
        finally:
            connection.close()

    def meanwhile(*happenings: Any, **options: Any) -> Any:
        entry = prepare_append(*happenings, **options)
        with ThreadPoolExecutor(1) as thread:
            thread.submit(other).result()
        return entry

    monkeypatch.setattr(answer_storage, "prepare_append", meanwhile)
    monkeypatch.setattr("sync.attempts.settle.find_only_waiter", lambda _: None)
    hub.change_email("anna.told@example.com")
    assert hub.post_signed(EXAMPLE).json()["status"] == "succeeded"
    assert Receipt.objects.get().answer is not None
    assert actions(Event.objects.get().stream) == ["webhook.received", "test.meddled", "webhook.answered"]
    assert find_chain_faults() == []
