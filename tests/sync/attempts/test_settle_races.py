"""Most attempts are settled by one batch; after a conflict the batch fails, and the attempt is settled with locks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.models import Entry
from database.write_batch import WriteBatch
from sync.attempts import settle as attempts_settle
from sync.attempts.attempt_result import superseded_result
from sync.attempts.plan import AttemptFindings
from sync.attempts.settle import settle_attempt
from sync.deliveries.claims import claim_delivery
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Breaker, Call, Delivery, Finding, Link
from sync.replays.requests import request_replay
from tests.support.audit.chain_faults import find_chain_faults
from tests.support.builders.history import a_replay
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Event, Payload, Receipt, SubjectKey

ACK = EXAMPLE[:-1] + b',"respond":"ack"}'
SHORT = EXAMPLE[:-1] + b',"respond":{"mode":"result","wait":100}}'


class Ways:
    """The ways in which attempts ended: `tried` by one batch, `long` with locks. `meanwhile` runs before the batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tried = self.long = 0
        self.meanwhile: Callable[[], object] = lambda: None
        ways, long = self, attempts_settle._settle_with_locks

        class Watched(WriteBatch):
            def run(self) -> None:
                if self._guards:
                    ways.tried += 1
                    meanwhile, ways.meanwhile = ways.meanwhile, lambda: None
                    meanwhile()
                super().run()

        def counted(*arguments: Any) -> Any:
            self.long += 1
            return long(*arguments)

        monkeypatch.setattr(attempts_settle, "WriteBatch", Watched)
        monkeypatch.setattr(attempts_settle, "_settle_with_locks", counted)


@pytest.fixture
def ways(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Ways:
    """After a first webhook, whose attempt made the link."""
    hub.change_email("anna.first@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    return Ways(monkeypatch)


def last(model: Any) -> Any:
    return model.objects.order_by("pk").last()


def test_all_rows_of_the_end_of_an_attempt_are_written(hub: Hub, ways: Ways) -> None:
    hub.change_email("anna.second@example.com")
    answer = hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    assert (ways.tried, ways.long) == (1, 0)
    attempt, delivery, event, receipt = (last(model) for model in (Attempt, Delivery, Event, Receipt))
    assert (attempt.outcome, delivery.state, event.state) == ("succeeded",) * 3
    assert (delivery.token, delivery.target_slot, delivery.settled_at is None) == (None, None, False)
    assert (
        (receipt.status, receipt.answer.decrypt())
        == (answer.status_code, answer.content)
        == (200, answer.content)
    )
    assert attempt.stored_finding(Finding.CHANGE)["fields"]
    assert Link.objects.get().applied_at == attempt.ended_at
    assert [call.status for call in Call.objects.filter(attempt=attempt).order_by("started_at")] == [200] * 3
    about = Entry.objects.filter(stream__in=[event.stream, delivery.stream]).order_by("pk")
    assert sorted(about.values_list("action", flat=True)) == [
        *("attempt.started", "attempt.succeeded", "webhook.answered", "webhook.received")
    ]
    assert find_chain_faults() == []


@pytest.mark.promise("I9")
def test_nothing_is_written_for_a_delivery_whose_lease_was_lost(hub: Hub, ways: Ways) -> None:
    ways.meanwhile = lambda: Delivery.objects.filter(state="running").update(token="0" * 32)
    hub.change_email("anna.lost@example.com")
    answer = hub.post_signed(SHORT)
    assert answer.status_code == 202
    hub.wait_until_quiet()
    assert (ways.tried, ways.long) == (1, 1)
    attempt = last(Attempt)
    assert (attempt.outcome, attempt.ended_at, attempt.findings) == ("started", None, None)
    assert last(Delivery).state == "running"
    assert not Entry.objects.filter(stream=last(Delivery).stream, action="attempt.succeeded").exists()
    kinds = Payload.objects.filter(pk__gte=last(Event).payload_id).values_list("kind", flat=True)
    assert sorted(kinds) == ["answer", "request", "webhook"], "and nothing that was read or planned"
    Delivery.objects.filter(state="running").update(
        state="dead", token=None, identity_slot=None, target_slot=None
    )


@pytest.mark.submission
def test_a_replay_requested_at_this_moment_runs(hub: Hub, ways: Ways) -> None:
    staff = User.objects.create_user("liisa")
    ways.meanwhile = lambda: request_replay([last(Event)], by=staff, reason="the shop was down")
    hub.change_email("anna.replayed@example.com")
    hub.post_signed(EXAMPLE)
    hub.wait_until_idle()
    hub.wait_until_quiet()
    assert ways.long >= 1
    attempts = Attempt.objects.filter(delivery=last(Delivery)).order_by("number")
    assert [(attempt.cause, attempt.outcome) for attempt in attempts] == [
        ("webhook", "succeeded"),
        ("replay", "unchanged"),
    ]
    assert last(Delivery).state == "unchanged"
    assert find_chain_faults() == []


@pytest.mark.submission
def test_a_batch_is_not_written_over_a_replay_that_only_the_delivery_names(hub: Hub, ways: Ways) -> None:
    """The event's stream has no entry of the replay, which would make the batch fail too."""
    replay = a_replay(User.objects.create_user("liisa"))
    ways.meanwhile = lambda: Delivery.objects.filter(state="running").update(person_request=replay)
    hub.change_email("anna.again@example.com")
    hub.post_signed(EXAMPLE)
    hub.wait_until_idle()
    hub.wait_until_quiet()
    assert ways.long >= 1
    attempts = Attempt.objects.filter(delivery=last(Delivery)).order_by("number")
    assert [attempt.cause for attempt in attempts] == ["webhook", "replay"]
    assert last(Event).state == last(Delivery).state == "unchanged"
    assert find_chain_faults() == []


@pytest.mark.submission
def test_a_link_that_was_deleted_is_created_again(hub: Hub, ways: Ways) -> None:
    ways.meanwhile = lambda: Link.objects.all().delete()
    hub.change_email("anna.linked@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    assert (ways.tried, ways.long) == (1, 1)
    assert Link.objects.get().applied_at == last(Attempt).ended_at
    assert Receipt.objects.filter(answer=None).count() == 0
    assert find_chain_faults() == []


def test_a_failed_batch_leaves_the_transaction_usable(
    hub: Hub, ways: Ways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    assert hub.post_signed(ACK).status_code == 202
    claim = claim_delivery(last(Delivery).pk)
    assert claim is not None
    with transaction.atomic():
        assert (
            settle_attempt(replace(claim, token=uuid4()), superseded_result(), AttemptFindings(), []) is None
        )
        assert settle_attempt(claim, superseded_result(), AttemptFindings(), []) is not None
    assert last(Attempt).outcome == "superseded"
    assert (ways.tried, ways.long) == (2, 1)


def test_an_entry_appended_at_this_moment_precedes_the_settlement(hub: Hub, ways: Ways) -> None:
    def appended() -> None:
        with transaction.atomic():
            append_entries(NewEntry(last(Delivery).stream, "delivery.seen", "liisa"))

    ways.meanwhile = appended
    hub.change_email("anna.seen@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    assert (ways.tried, ways.long) == (1, 1)
    about = Entry.objects.filter(stream=last(Delivery).stream).order_by("stream_seq")
    assert [entry.action for entry in about] == ["attempt.started", "delivery.seen", "attempt.succeeded"]
    assert find_chain_faults() == []


@pytest.mark.submission
def test_the_path_with_locks_updates_the_breaker(hub: Hub, ways: Ways) -> None:
    hub.shop.faults.add("error", times=1)
    hub.change_email("anna.ill@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 424
    hub.wait_until_quiet()
    assert (ways.tried, ways.long) == (0, 1), "that the system failed"
    hub.change_email("anna.well@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    assert (ways.tried, ways.long) == (0, 2), "that it is well again"
    assert Breaker.objects.get().failures == 0


def test_the_path_with_locks_settles_covered_siblings(
    hub: Hub, ways: Ways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    for _ in range(2):
        assert hub.post_signed(ACK).status_code == 202
    assert run_due_deliveries() == 1
    hub.wait_until_quiet()
    assert (ways.tried, ways.long) == (0, 1)
    assert [event.state for event in Event.objects.order_by("pk")] == ["succeeded", "unchanged", "unchanged"]


def fail_first(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Cut the connection of the first settlement batch after all of its statements. Returns the entries of each batch."""
    prepare_append, calls = attempts_settle.prepare_append, []

    def counted(*happenings: Any, **at: Any) -> Any:
        calls.append(len(happenings))
        return prepare_append(*happenings, **at)

    class Lost(WriteBatch):
        def run(self) -> None:
            if len(calls) > 1:
                super().run()
                return
            with transaction.atomic():
                super().run()
                transaction.set_rollback(True)
            raise OperationalError("the connection was lost")

    monkeypatch.setattr(attempts_settle, "prepare_append", counted)
    monkeypatch.setattr(attempts_settle, "WriteBatch", Lost)
    return calls


@pytest.mark.promise("I23")
def test_a_settlement_that_is_rolled_back_stores_no_answer_and_its_retry_stores_one(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fail_first(monkeypatch)
    hub.change_email("anna.told@example.com")
    answer = hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    assert answer.status_code == 200
    assert calls == [2, 2], "the attempt's end and the answer, in one commit, twice"
    receipt = Receipt.objects.get()
    assert receipt.answer is not None
    assert (receipt.status, receipt.answer.decrypt()) == (200, answer.content)
    assert Entry.objects.filter(action="webhook.answered").count() == 1
    assert Attempt.objects.get().outcome == Delivery.objects.get().state == "succeeded"
    assert len(hub.writes()) == 1


def test_an_answer_that_cannot_be_rendered_does_not_keep_the_delivery_from_ending(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks.receiving.receive.outcome_answer", lambda *_, **__: 1 / 0)
    hub.change_email("anna.wordless@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 500
    hub.wait_until_quiet()
    assert Delivery.objects.get().state == "succeeded"


def test_an_attempt_whose_key_was_destroyed_sends_nothing_and_ends(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    assert hub.post_signed(ACK).status_code == 202
    SubjectKey.objects.update(wrapped=None, destroyed_at=timezone.now())
    run_due_deliveries()
    assert (Delivery.objects.get().state, Delivery.objects.get().code) == ("retrying", "internal-failure")
    assert not Call.objects.exists()
    assert not any(row["path"].startswith("/users/") for row in hub.identity.read_journal())
