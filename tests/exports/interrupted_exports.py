"""Exports that are interrupted: something is done before a chunk, or the worker dies there."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from exports.bundle import builder
from exports.models import Export
from tests.support.builders.exports import a_requested_export
from tests.support.jobs import end_leases, run_jobs


class Killed(BaseException):
    """Nothing of the export runs any further."""


def before_chunk(monkeypatch: pytest.MonkeyPatch, number: int, do: Callable[[], None]) -> None:
    """Do something before the rows of a chunk are read."""
    read, count = builder.read_rows, 0

    def read_rows(keys: list[int]) -> Any:
        nonlocal count
        count += 1
        if count == number:
            do()
        return read(keys)

    monkeypatch.setattr(builder, "read_rows", read_rows)


def killed() -> None:
    raise Killed


def elsewhere(do: Callable[[], object]) -> None:
    """Run a function on another connection; it is committed when this returns."""

    def done() -> None:
        do()
        connections.close_all()

    thread = threading.Thread(target=done)
    thread.start()
    thread.join(timeout=60)
    assert not thread.is_alive(), "a reader held up a writer"


def killed_at(monkeypatch: pytest.MonkeyPatch, chunk: int) -> Export:
    """Create an export whose worker died before this chunk and whose lease has ended."""
    export = a_requested_export()
    with monkeypatch.context() as patch:
        before_chunk(patch, chunk, killed)
        with pytest.raises(Killed):
            run_jobs("export")
    end_leases()
    export.refresh_from_db()
    return export
