"""A history with its audit entries, exports of it, and what stands in them."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.sealing.checkpoints import checkpoint_bytes, newest_checkpoint
from exports.jobs import lifecycle
from exports.models import Export, ExportState
from sync.models import Attempt, Call, Route
from sync.search.event_filter import resolve_filter
from tests.support.builders.history import (
    NOON,
    a_call,
    a_delivery,
    a_receipt,
    a_route,
    a_source,
    an_attempt,
    an_event,
)
from tests.support.jobs import run_jobs
from webhooks.models import Event

PYTHON = str(getattr(sys, "_base_executable", sys.executable))  # not of the environment with our libraries
FORMULAS = ["=1+1", "@SUM(A1)", "-1", '"=1', " +1", "＝1", '",=1', "a\n=1", "\t=1", 'x,"=1']


def happened(number: int = 0, **values: Any) -> Event:
    """Event `count` of Aurora with receipt, delivery, attempt, call, and the entries that the hub writes with them."""
    with transaction.atomic():
        event = an_event(
            **{"entity_id": f"USR-{number}", "received_at": NOON + timedelta(seconds=number)} | values
        )
        receipt = a_receipt(event, received_at=event.received_at, answer=None)
        route = Route.objects.filter(source=event.source).first() or a_route(event.source)
        delivery = a_delivery(event, route)
        attempt = an_attempt(delivery, 1)
        a_call(attempt, request=None, response=None)
        append_entries(
            NewEntry(
                event.stream,
                "webhook.received",
                f"source:{event.source.slug}",
                {"receipt": receipt.own_reference},
            ),
            at=event.received_at,
        )
        append_entries(NewEntry(delivery.stream, "attempt.started", details={"attempt": str(attempt.key)}))
    return event


def history(events: int = 5) -> list[Event]:
    a_source()
    return [happened(number) for number in range(events)]


def requested(words: dict[str, str] | None = None, **values: Any) -> Export:
    return lifecycle.request_export(
        resolve_filter(words or {}, timezone.now()), **{"by": None, "reason": "the yearly audit"} | values
    )


def exported(words: dict[str, str] | None = None, **values: Any) -> Export:
    """An export that a worker has made."""
    export = requested(words, **values)
    run_jobs("export")
    export.refresh_from_db()
    assert export.state == ExportState.DONE, export.failure
    return export


def unpacked(export: Export, into: Path) -> Path:
    with zipfile.ZipFile(export.archive) as archive:
        archive.extractall(into / str(export.pk))
    return into / str(export.pk) / "export"


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def commands(folder: Path) -> list[list[str]]:
    """What the README of an export tells people to run."""
    told = (folder / "README.txt").read_text().splitlines()
    return [line.split() for line in told if line.strip().startswith(("sha256sum -c", "python3 -I"))]


@lru_cache(maxsize=1)
def without_network() -> tuple[str, ...]:
    """What runs a command where there is no network, if this machine lets us."""
    alone = ("unshare", "--map-root-user", "--net")
    try:
        done = subprocess.run([*alone, "true"], capture_output=True, check=False, timeout=10)
    except OSError:
        return ()
    return alone if done.returncode == 0 else ()


def run(command: Sequence[str], folder: Path) -> tuple[int, str]:
    """One of them, in the folder, with nothing in the environment, a Python outside of the hub's own, and no network: how
    it ended and what it said."""
    python = {"python3": PYTHON, "sha256sum": "/usr/bin/sha256sum"}
    done = subprocess.run(
        [*without_network(), "/usr/bin/env", "-i", python[command[0]], *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def checked(folder: Path) -> list[int]:
    """How each of the README's commands ends."""
    return [run(command, folder)[0] for command in commands(folder)]


def kept(folder: Path) -> bytes:
    """The newest checkpoint, kept where the README says."""
    record = newest_checkpoint()
    assert record is not None
    (folder.parent / "kept.json").write_bytes(checkpoint_bytes(record))
    return checkpoint_bytes(record)


def cut(event: Event) -> None:
    """What somebody with the database deletes: an event and everything under it."""
    Call.objects.filter(attempt__delivery__event=event).delete()
    Attempt.objects.filter(delivery__event=event).delete()
    event.deliveries.all().delete()
    event.receipts.all().delete()
    event.delete()
