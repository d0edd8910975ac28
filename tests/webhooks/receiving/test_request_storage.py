"""Rows of the hot path have no foreign key constraints: the hub's own locks keep them consistent."""

import threading
from typing import Any

import pytest
from django.db import connection, transaction

from sync.housekeeping.batch_deletion import delete_events, delete_payloads
from sync.models import Route
from tests.support.database.orphans import find_orphans
from tests.support.hub import EXAMPLE, Hub
from tests.support.threads import in_threads
from webhooks.models import Event, Receipt, Source
from webhooks.receiving import receive, request_storage


def _list_orphans() -> list[str]:
    def rows(query: str) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    return list(find_orphans(rows))


pytestmark = pytest.mark.concurrent


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


@pytest.mark.only_postgresql  # SQLite has one writer at a time
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
        assert has_begun.wait(60)
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
