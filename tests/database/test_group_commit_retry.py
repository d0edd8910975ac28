"""What shared a transaction that failed is done once more, alone (`database.group_commit`): nothing of the first time shows."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from audit.models import Entry
from database import group_commit
from database.group_commit import Scattered
from sync.deliveries.expired_leases import expire_all
from sync.execution.executor import run_due
from sync.models import Attempt, Call, Delivery
from tests.support.audit.chain_faults import faults
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Event, Payload, Receipt

pytestmark = pytest.mark.only_sqlite
SHORT = EXAMPLE[:-1] + b',"respond":{"mode":"result","wait":1000}}'


class Undone:
    """In place of the gathering: what is brought to it is done and undone, as beside one that fails."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.times = 0
        self._then = then

    def do(self, work: Any) -> None:
        with transaction.atomic():
            work.run()
            transaction.set_rollback(True)
        self.times += 1
        self._then()
        raise Scattered


def test_a_webhook_all_of_whose_work_is_done_twice_is_as_any_other(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    undone = Undone()
    monkeypatch.setattr(group_commit, "_gathering", undone)
    hub.change_email("anna.again@example.com")
    told = hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    assert undone.times == 3, "stored and claimed; on record before it is sent; settled and told"
    assert (told.status_code, hub.customer()["email"]) == (200, "anna.again@example.com")
    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.answer.open()) == (200, told.content)
    assert [each.state for each in Delivery.objects.all()] == ["succeeded"]
    assert [each.outcome for each in Attempt.objects.all()] == ["succeeded"]
    assert len(hub.writes()) == Call.objects.filter(is_write=True).count() == 1
    kinds = sorted(Payload.objects.values_list("kind", flat=True))
    assert kinds == ["answer", "change", "request", "response", "response", "response", "webhook"]
    about = Entry.objects.filter(stream__in=[Event.objects.get().stream, Delivery.objects.get().stream])
    assert sorted(about.values_list("action", flat=True)) == [
        *("attempt.started", "attempt.succeeded", "webhook.answered", "webhook.received")
    ]
    assert faults() == []


def test_what_was_undone_is_not_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two times another process takes the delivery, whose lease had ended: this one settles nothing."""

    def taken_away() -> None:
        if undone.times == 3:
            Delivery.objects.update(token="0" * 32)

    undone = Undone(taken_away)
    monkeypatch.setattr(group_commit, "_gathering", undone)
    hub.change_email("anna.lost@example.com")
    told = hub.post_signed(SHORT)
    assert (told.status_code, json.loads(told.content)["status"]) == (202, "accepted")
    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.answer.open()) == (202, told.content)
    assert not Entry.objects.filter(action="attempt.succeeded").exists()
    monkeypatch.undo()
    Delivery.objects.update(lease_until="2020-01-01T00:00:00Z")
    expire_all(1)
    Delivery.objects.update(due_at="2020-01-01T00:00:00Z")
    run_due()
    assert [each.state for each in Delivery.objects.all()] == ["unchanged"]
