"""Requests with several events that arrive at the same moment: every event is stored once, and no request half."""

import threading
from contextlib import suppress
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, transaction

from audit.models import Entry
from exports.row_checks.nightly_rows import find_row_faults
from sync.housekeeping.batch_deletion import delete_events
from tests.support.audit.chain_faults import find_chain_faults
from tests.support.builders.event_batches import FORMAT, add_token, event, in_thread, post, set_format
from tests.support.database.lock_waits import is_waited_for
from tests.support.hub import ANNA, Hub
from tests.support.threads import in_threads, wait_until
from webhooks.models import Event, Payload, Receipt, Source, SubjectKey, lock_or_create_keys
from webhooks.receiving import batches

pytestmark = pytest.mark.concurrent


@pytest.fixture
def formatted(hub: Hub) -> Hub:
    add_token()
    set_format(FORMAT)
    return hub


class Rounds:
    """Counts the rounds of storing. `blind` of them do not find what is stored already, as if it came a moment later.
    `meeting`: where threads wait for each other after they looked. The second comes only if the first holds no lock.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, blind: int = 0) -> None:
        self.number, self._blind = 0, blind
        self.meeting: threading.Barrier | None = None
        self._find = batches._find_repeats
        monkeypatch.setattr(batches, "_find_repeats", self._find_repeats)

    def _find_repeats(self, request: Any, planned: Any) -> Any:
        self.number += 1
        found = planned if self.number <= self._blind else self._find(request, planned)
        if self.meeting is not None:
            with suppress(threading.BrokenBarrierError):
                self.meeting.wait(0.7)
                self.meeting.abort()  # a request that begins again does not wait
        return found


def _counts() -> list[int]:
    return [model.objects.count() for model in (Receipt, Event, Payload, SubjectKey, Entry)]


@pytest.mark.nightly  # which requests meet is chance
def test_overlapping_requests_at_the_same_moment_store_each_event_once(formatted: Hub) -> None:
    """Six threads send the same events in different orders, two of them one by one."""
    numbers = list(range(12))
    barrier = threading.Barrier(6)

    def send(thread: int) -> list[int]:
        hub, statuses = in_thread(formatted), []
        for turn in range(2):
            moved = numbers[thread:] + numbers[:thread]
            events = [event(f"U{number}", uid=f"{turn}-{number}") for number in moved]
            events = events[::-1] if thread % 2 else events
            barrier.wait(60)
            requests = [[one] for one in events[:4]] if thread >= 4 else [events[:9]]
            statuses += [post(hub, *sent).status_code for sent in requests]
        return statuses

    statuses = [status for of_thread in in_threads(send, 6) for status in of_thread]
    # An event that came alone first has its whole request as its content.
    assert set(statuses) <= {200, 202, 409, 424}, statuses
    formatted.wait_until_idle()
    formatted.wait_until_quiet()
    ids = list(Event.objects.values_list("event_id", flat=True))
    assert sorted(ids) == sorted(f"{turn}-{number}" for turn in range(2) for number in numbers)
    assert Receipt.objects.count() == len(statuses)
    assert find_chain_faults() == []
    assert list(find_row_faults()) == []


def _send_two_at_once(formatted: Hub, rounds: Rounds) -> list[int]:
    rounds.meeting = threading.Barrier(2)
    source = Source.objects.get(slug="aurora-unsigned")
    # Entities that are known already: of a new one, the second request would wait for the key that the first inserts.
    with transaction.atomic():
        lock_or_create_keys([(source.pk, "USER", name) for name in ("ONE", "TWO")])
    first, second = event("ONE", uid="1"), event("TWO", uid="2")
    orders = [(first, second), (second, first)]
    statuses = in_threads(lambda number: post(in_thread(formatted), *orders[number]).status_code, 2)
    assert sorted(Event.objects.values_list("event_id", flat=True)) == ["1", "2"]
    return statuses


@pytest.mark.submission
def test_the_second_of_two_requests_finds_what_the_first_stored(
    formatted: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = Rounds(monkeypatch)
    assert _send_two_at_once(formatted, rounds) == [202, 202]
    assert rounds.number == 2


@pytest.mark.promise("I8")
@pytest.mark.parametrize("blind", [1, batches.MAX_ROUNDS - 1])
def test_a_request_whose_events_are_stored_meanwhile_begins_again(
    formatted: Hub, monkeypatch: pytest.MonkeyPatch, blind: int
) -> None:
    first = post(formatted, event(ANNA, uid="1"), event("TWO", uid="2"))
    rounds = Rounds(monkeypatch, blind=blind)
    again = post(formatted, event("THREE", uid="3"), event("TWO", uid="2"))
    assert again.status_code == 202
    assert again.json()["results"][1] == first.json()["results"][1]
    assert (rounds.number, Event.objects.count()) == (blind + 1, 3)
    formatted.wait_until_idle()
    assert list(find_row_faults()) == []


@pytest.mark.promise("I21")
def test_after_the_last_round_the_request_is_refused_and_nothing_of_it_stored(
    formatted: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(formatted, event(ANNA, uid="1"), event("TWO", uid="2"))
    formatted.wait_until_idle()
    formatted.wait_until_quiet()
    before = _counts()
    rounds = Rounds(monkeypatch, blind=batches.MAX_ROUNDS)
    answer = post(formatted, event("THREE", uid="3"), event("no id"), event("TWO", uid="2"))
    assert (answer.status_code, answer.json()["code"]) == (503, "storage-unavailable")
    assert answer["Retry-After"] == "5"
    assert rounds.number == batches.MAX_ROUNDS
    assert _counts() == before


@pytest.mark.parametrize(("is_deadlock", "status"), [(True, 202), (False, 503)])
def test_only_after_a_deadlock_a_request_begins_again(
    formatted: Hub, monkeypatch: pytest.MonkeyPatch, is_deadlock: bool, status: int
) -> None:
    rounds, insert = Rounds(monkeypatch), batches._insert_batch

    def fail_once(*arguments: Any) -> Any:
        if rounds.number == 1:
            raise OperationalError("the database says what it was")
        return insert(*arguments)

    monkeypatch.setattr(batches, "_insert_batch", fail_once)
    monkeypatch.setattr(batches, "is_deadlock", lambda _: is_deadlock)
    assert post(formatted, event(ANNA, uid="1"), event("TWO", uid="2")).status_code == status
    assert (rounds.number, Event.objects.count()) == ((2, 2) if is_deadlock else (1, 0))


@pytest.mark.only_postgresql  # SQLite has one writer at a time
def test_a_batch_locks_keys_before_events_as_retries_and_erasures_do(formatted: Hub) -> None:
    post(formatted, event(ANNA, uid="1"), event("TWO", uid="2"))
    formatted.wait_until_idle()
    formatted.wait_until_quiet()
    holds = threading.Event()

    def one(number: int) -> int:
        if number == 0:
            assert holds.wait(60)
            # A repeat, and a new event of the same entity.
            return post(in_thread(formatted), event(ANNA, uid="1"), event(ANNA, uid="3")).status_code
        with transaction.atomic():
            list(SubjectKey.objects.select_for_update().order_by("pk"))
            holds.set()
            wait_until(is_waited_for)
            # Not waited for: the batch must hold no event while it waits for a key.
            list(Event.objects.select_for_update(nowait=True).order_by("pk"))
        return 0

    assert in_threads(one, 2) == [202, 0]
    assert Event.objects.count() == 3


@pytest.mark.only_postgresql  # SQLite has one writer at a time
def test_the_cleanup_waits_for_a_batch_that_repeats_an_event(
    formatted: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cleanup deletes an event while a batch that repeats it is being stored: it is there until that is written."""
    post(formatted, event(ANNA, uid="1"), event("TWO", uid="2"))
    formatted.wait_until_idle()
    formatted.wait_until_quiet()
    old = Event.objects.get(event_id="1")
    insert, is_inside, is_deleted = batches._insert_batch, threading.Event(), threading.Event()

    def insert_late(*arguments: Any) -> Any:
        is_inside.set()
        is_deleted.wait(0.7)  # never, with the lock
        return insert(*arguments)

    seen: list[bool] = []
    store = batches._store_answer

    def store_and_look(*arguments: Any, **named: Any) -> Any:
        seen.append(Event.objects.filter(event_id="1").exists())
        return store(*arguments, **named)

    monkeypatch.setattr(batches, "_insert_batch", insert_late)
    monkeypatch.setattr(batches, "_store_answer", store_and_look)

    def one(number: int) -> Any:
        if number == 0:
            return post(in_thread(formatted), event(ANNA, uid="1"), event("THREE", uid="3")).status_code
        assert is_inside.wait(60)
        with transaction.atomic():
            delete_events([old.pk])
        is_deleted.set()
        return None

    assert in_threads(one, 2)[0] == 202
    assert seen[-1]


def test_a_batch_of_a_source_that_was_just_deleted_stores_nothing(
    formatted: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_deleted_source(_: Source) -> None:
        raise IntegrityError("the source is deleted")

    before = _counts()
    monkeypatch.setattr(batches, "lock_source", refuse_deleted_source)
    assert post(formatted, event(ANNA, uid="1"), event("TWO", uid="2")).status_code == 503
    assert _counts() == before
