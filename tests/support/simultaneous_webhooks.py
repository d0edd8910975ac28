"""Webhooks that arrive at the same time and share a commit (`database.group_commit`)."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client

from database.group_commit import GroupCommit
from tests.support.hub import Hub
from tests.support.threads import wait_until
from webhooks.receiving import store

Sent = tuple[dict[str, Any], str]  # a body, and the id of its webhook


class SimultaneousWebhooks:
    """A sender of webhooks of which the first is stored alone and all others share one commit or a few."""

    def __init__(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self._hub, self._store = hub, store._store_group
        self._begun, self._go = threading.Event(), threading.Event()
        self._holds = False
        self.group: GroupCommit[Any] = GroupCommit(self._run)
        monkeypatch.setattr(store, "_group_commit", self.group)
        monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)

    def _run(self, news: Sequence[Any]) -> Sequence[Exception | None]:
        self.sizes.append(len(news))
        if self._holds and len(self.sizes) == 1:
            self._begun.set()
            assert self._go.wait(20)
        return self._store(news)

    def send(self, *sent: Sent) -> list[HttpResponse]:
        """Send these webhooks. Returns their answers in the same order."""
        self.sizes.clear()
        self._holds = True
        with ThreadPoolExecutor(len(sent)) as threads:
            answers = [threads.submit(self._post, *sent[0])]
            assert self._begun.wait(20)
            for number, webhook in enumerate(sent[1:], 1):
                answers.append(threads.submit(self._post, *webhook))
                wait_until(lambda number=number: len(self.group._queue) == number)
            self._go.set()
            return [answer.result() for answer in answers]

    def _post(self, body: dict[str, Any], webhook_id: str) -> HttpResponse:
        try:
            return replace(self._hub, client=Client()).post_signed(body, webhook_id)
        finally:
            connection.close()
