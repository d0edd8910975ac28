"""Write batches of several threads share one commit on SQLite, and none of them fails because of another."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connection

from database import write_batch
from database.group_commit import GroupCommit
from database.statement import Statement
from database.write_batch import GuardFailed, WriteBatch
from sync.models import Connection, Link
from tests.support.threads import wait_until
from webhooks.models import Payload, Source

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.only_sqlite, pytest.mark.concurrent]
_RENAME = Statement("UPDATE webhooks_source SET name = %s WHERE slug = %s RETURNING name")
_MISROUTE = Statement("UPDATE sync_link SET identity_id = 4711 WHERE entity_id = %s")


def payload(text: str) -> Payload:
    return Payload.new(Payload.Kind.WEBHOOK, text.encode(), None)


def run_together(monkeypatch: pytest.MonkeyPatch, batches: Sequence[WriteBatch]) -> list[Exception | None]:
    """Run batches, each in a thread, so that they share one commit. Returns what each raised."""
    begun, go = threading.Event(), threading.Event()
    sizes: list[int] = []
    commit = write_batch._commit_together

    def commit_when_all_came(group: Sequence[WriteBatch]) -> Any:
        sizes.append(len(group))
        if len(sizes) == 1:
            begun.set()
            assert go.wait(60)
        return commit(group)

    queue = GroupCommit(commit_when_all_came)
    monkeypatch.setattr(write_batch, "_group_commit", queue)

    def run(batch: WriteBatch) -> None:
        try:
            batch.run()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(batches) + 1) as threads:
        first = threads.submit(run, WriteBatch())
        assert begun.wait(60)
        ended: list[Future[None]] = []
        for number, batch in enumerate(batches, 1):
            ended.append(threads.submit(run, batch))
            wait_until(lambda number=number: len(queue._queue) == number)
        go.set()
        first.result()
        errors = [future.exception() for future in ended]
    assert sizes == [1, len(batches)]
    return errors  # type: ignore[return-value]


def batch_of(*rows: Any) -> WriteBatch:
    batch = WriteBatch()
    batch.insert(*rows)
    return batch


def test_batches_of_several_threads_are_written_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [payload(f"{number}") for number in range(5)]
    assert run_together(monkeypatch, [batch_of(row) for row in rows]) == [None] * 5
    assert list(Payload.objects.order_by("pk")) == rows
    assert [row.pk for row in rows] == sorted(row.pk for row in rows)


def test_a_guard_that_fails_undoes_its_own_batch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    Source.objects.create(slug="directory", name="Directory")
    rows = [payload(text) for text in "abc"]
    batches = [batch_of(row) for row in rows]
    batches[1].require(_RENAME.bind("Renamed", "directory"), "another name")
    before, failed, after = run_together(monkeypatch, batches)
    assert (before, type(failed), after) == (None, GuardFailed, None)
    assert Source.objects.get().name == "Directory"
    assert list(Payload.objects.order_by("pk")) == [rows[0], rows[2]]
    assert (rows[1].pk, rows[1]._state.adding) == (None, True)


def test_a_broken_constraint_undoes_its_own_batch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    Source.objects.create(slug="directory", name="Directory")
    row = payload("a")
    taken = batch_of(payload("b"), Source(slug="directory", name="Again"))
    failed, other = run_together(monkeypatch, [taken, batch_of(row)])
    assert (type(failed), other) == (IntegrityError, None)
    assert list(Payload.objects.all()) == [row]


def test_a_foreign_key_that_is_broken_at_the_commit_fails_its_own_batch_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identity, target = (
        Connection.objects.create(
            side=side, slug=side, name=side, connector=connector, base_url="https://x.test"
        )
        for side, connector in (("identity", "rest-identity"), ("target", "rest-target"))
    )
    Link.objects.create(
        identity=identity,
        target=target,
        entity_type="USER",
        entity_id="U1",
        record_id="7",
        applied_at="2026-01-01T00:00Z",
    )
    rows = [payload(text) for text in "abc"]
    batches = [batch_of(row) for row in rows]
    batches[1].execute(_MISROUTE.bind("U1"))
    before, failed, after = run_together(monkeypatch, batches)
    assert (before, type(failed), after) == (None, IntegrityError, None)
    assert Link.objects.get().identity == identity
    assert list(Payload.objects.order_by("pk")) == [rows[0], rows[2]]
