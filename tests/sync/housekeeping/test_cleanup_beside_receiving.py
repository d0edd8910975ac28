"""Retention never blocks the receiving of webhooks."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from database.clock import read_clock
from sync.housekeeping import batch_deletion as housekeeping_prune
from sync.housekeeping.retention_rules import prune_expired
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Event, Payload


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
    delete = housekeeping_prune.delete_payloads

    def held(keys: list[int]) -> None:
        stored.append(Event.objects.exists())
        delete(keys)
        if len(stored) == 2:
            posted.start()
            threading.Event().wait(0.3)

    monkeypatch.setattr(housekeeping_prune, "delete_payloads", held)
    prune_expired()
    posted.join(10)
    hub.wait_until_quiet()
    assert answers == [200]
    assert stored[:2] == [False, False]
    assert len(stored) >= 6
    assert all(stored[3:]), "it waited for more than the batch that ran and the one that had begun"
