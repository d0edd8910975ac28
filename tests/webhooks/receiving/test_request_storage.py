"""Rows of the hot path have no foreign key constraints: the hub's own locks keep them consistent."""

import threading
from typing import Any

import pytest
from django.db import connection, transaction

from database.write_batch import WriteBatch
from sync.housekeeping.batch_deletion import delete_events, delete_payloads
from sync.models import Route
from tests.support.database.orphans import find_orphans, unconstrained
from tests.support.hub import EXAMPLE, Hub
from tests.support.threads import in_threads
from webhooks.models import Event, Receipt, Source
from webhooks.receiving import receive, request_storage
from webhooks.receiving.store import build_receipt


def _list_orphans() -> list[str]:
    def rows(query: str) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    return list(find_orphans(rows))


@pytest.fixture
def stored(hub: Hub) -> Event:
    """Create an event with a webhook id that is delivered."""
    assert hub.post_signed(EXAMPLE, "msg_again").status_code == 200
    hub.wait_until_quiet()
    assert _list_orphans() == []
    return Event.objects.get()


def _prune_before_repeat(monkeypatch: pytest.MonkeyPatch, *, whole: bool) -> None:
    """Let the cleanup delete the event, or its payload alone, between the look for it and the receipt of its repeat."""
    find = request_storage._find_event

    def find_and_prune(source: Source, event_id: str | None) -> Event | None:
        known = find(source, event_id)
        if known is not None:
            monkeypatch.setattr(request_storage, "_find_event", find)
            assert known.payload is not None  # read before it is deleted
            with transaction.atomic():
                delete_events([known.pk]) if whole else delete_payloads([known.payload_id])
        return known

    monkeypatch.setattr(request_storage, "_find_event", find_and_prune)


def _record_without_locks(
    source: Any, arrival: Any, verified: Any, _parsed: Any, event: Event
) -> request_storage.StoredWebhook:
    """Record in the broken variant: the rows read before are used without a lock."""
    receipt = build_receipt(source, arrival, verified, event, event.payload, is_repeat=True)
    batch = WriteBatch()
    batch.insert(receipt)
    batch.run()
    return request_storage.StoredWebhook(receipt, event)


def test_a_repeat_of_an_event_that_is_just_deleted_is_stored_as_a_new_event(
    hub: Hub, stored: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prune_before_repeat(monkeypatch, whole=True)
    assert hub.post_signed(EXAMPLE, "msg_again").status_code == 200
    hub.wait_until_quiet()
    assert Event.objects.get().pk != stored.pk
    assert Receipt.objects.get().event_id == Event.objects.get().pk
    assert _list_orphans() == []


def test_a_repeat_names_no_payload_that_is_just_deleted(
    hub: Hub, stored: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prune_before_repeat(monkeypatch, whole=False)
    assert hub.post_signed(EXAMPLE, "msg_again").status_code == 200
    assert [receipt.payload_id for receipt in Receipt.objects.all()] == [None, None]
    assert _list_orphans() == []


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.usefixtures("stored")
def test_a_repeat_without_the_locks_leaves_an_orphan(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    _prune_before_repeat(monkeypatch, whole=whole)
    monkeypatch.setattr(request_storage, "_record_repeat", _record_without_locks)
    hub.client.raise_request_exception = False
    hub.post_signed(EXAMPLE, "msg_again")
    assert any("webhooks_receipt" in line for line in _list_orphans())


@pytest.mark.parametrize("whole", [True, False])
def test_the_cleanup_waits_for_a_repeat_that_is_being_stored(
    hub: Hub, stored: Event, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    is_inside, may_end = threading.Event(), threading.Event()

    class WaitingBatch(WriteBatch):
        def run(self) -> None:
            super().run()
            is_inside.set()
            may_end.wait(1.0)

    monkeypatch.setattr(request_storage, "WriteBatch", WaitingBatch)

    def one(number: int) -> Any:
        if number == 0:
            return hub.post_signed(EXAMPLE, "msg_again").status_code
        assert is_inside.wait(10)
        with transaction.atomic():
            delete_events([stored.pk]) if whole else delete_payloads([stored.payload_id])
        return None

    try:
        assert in_threads(one, 2)[0] == 200
    finally:
        may_end.set()
    assert Receipt.objects.count() == (0 if whole else 2)
    assert _list_orphans() == []


@pytest.mark.parametrize("whole", [True, False])
def test_a_repeat_and_the_cleanup_never_wait_for_each_other(
    hub: Hub, stored: Event, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """The cleanup begins while the repeat has locked the first of two rows."""
    has_begun, may_go_on, lock = threading.Event(), threading.Event(), request_storage._lock_row

    def lock_and_wait(rows: Any, key: int | None) -> Any:
        found = lock(rows, key)
        if not has_begun.is_set():
            has_begun.set()
            may_go_on.wait(0.7)
        return found

    monkeypatch.setattr(request_storage, "_lock_row", lock_and_wait)

    def one(number: int) -> Any:
        if number == 0:
            return hub.post_signed(EXAMPLE, "msg_again").status_code
        assert has_begun.wait(10)
        with transaction.atomic():
            delete_events([stored.pk]) if whole else delete_payloads([stored.payload_id])
        return "deleted"

    assert in_threads(one, 2) == [200, "deleted"]
    assert Receipt.objects.count() == (0 if whole else 2)
    assert _list_orphans() == []


def test_an_unusable_request_of_a_deleted_source_is_not_stored(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = Source.objects.get(slug="aurora-unsigned")
    monkeypatch.setattr(receive, "find_source", lambda _: cached)
    Route.objects.filter(source__slug="aurora-unsigned").delete()
    Source.objects.filter(slug="aurora-unsigned").delete()
    assert hub.post(b"{").status_code == 503
    assert not Receipt.objects.exists()


def test_an_orphan_is_found(hub: Hub, stored: Event) -> None:
    assert {field.name for field in unconstrained() if field.model is Receipt} == {
        "source",
        "event",
        "payload",
        "answer",
    }
    Receipt.objects.update(event=10**6)
    assert _list_orphans() == [
        "1 rows of webhooks_receipt name a webhooks_event in event_id that does not exist"
    ]
