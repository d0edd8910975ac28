"""The answer is stored in the transaction that settles: never sent if that fails, never stored twice."""

from typing import Any

import pytest
from django.db import OperationalError, transaction

from audit.models import Entry
from database.write_batch import WriteBatch
from sync.attempts import settle
from sync.attempts.waiters import OutcomeWaiter
from sync.models import Attempt, Delivery
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Receipt


def fail_first(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Cut the connection of the first settlement batch after all of its statements."""
    prepare_append, calls = settle.prepare_append, []

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

    monkeypatch.setattr(settle, "prepare_append", counted)
    monkeypatch.setattr(settle, "WriteBatch", Lost)
    return calls


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


def test_an_answer_that_is_sent_before_the_commit_is_caught(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = OutcomeWaiter.claim_answer

    def take_and_tell(self: OutcomeWaiter, outcome: Any) -> Any:
        pending_answer = good(self, outcome)
        if pending_answer is not None:
            self.confirm_answer(pending_answer)
        return pending_answer

    monkeypatch.setattr(OutcomeWaiter, "claim_answer", take_and_tell)
    monkeypatch.setattr(
        settle, "prepare_append", lambda *_, **__: (_ for _ in ()).throw(OperationalError("lost"))
    )
    monkeypatch.setattr("sync.attempts.delivery_run.SETTLE_PAUSES", ())
    hub.change_email("anna.told@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    assert Receipt.objects.get().answer is None, "an answer was sent that is not stored"
    Delivery.objects.update(state="dead", token=None, identity_slot=None, target_slot=None)


def test_an_answer_that_cannot_be_rendered_does_not_keep_the_delivery_from_ending(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks.receiving.receive.outcome_answer", lambda *_, **__: 1 / 0)
    hub.change_email("anna.wordless@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 500
    hub.wait_until_quiet()
    assert Delivery.objects.get().state == "succeeded"
