"""Events with their audit log entries, exports of them, and the contents of those exports."""

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
from audit.format.signed_records import Record
from audit.models import Checkpoint
from audit.sealing.checkpoints import checkpoint_bytes
from audit.sealing.record_rows import checkpoint_record
from exports.jobs import lifecycle
from exports.models import Export, ExportState
from sync.deliveries.claims import attempt_started_entry
from sync.evidence.row_facts import attempt_facts, call_facts, delivery_facts
from sync.models import SETTLED_STATES, Attempt, Call, Route
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
from webhooks.delivery_port import OpenedRows
from webhooks.models import Event
from webhooks.receiving.store import received_entry

PYTHON = str(getattr(sys, "_base_executable", sys.executable))  # not of the environment with our libraries
FORMULAS = ["=1+1", "@SUM(A1)", "-1", '"=1', " +1", "＝1", '",=1', "a\n=1", "\t=1", 'x,"=1']


def a_recorded_event(number: int = 0, **values: Any) -> Event:
    """Create event `number` with receipt, delivery, attempt, call and the audit log entries that the hub writes for them."""
    with transaction.atomic():
        event = an_event(
            **{"entity_id": f"USR-{number}", "received_at": NOON + timedelta(seconds=number)} | values
        )
        receipt = a_receipt(event, received_at=event.received_at, answered_at=event.received_at, answer=None)
        route = Route.objects.filter(source=event.source).first() or a_route(event.source)
        delivery = a_delivery(event, route)
        attempt = an_attempt(delivery, 1, code=event.code)
        delivery.settled_at = attempt.ended_at if event.state in SETTLED_STATES else None
        delivery.save(update_fields=["settled_at"])
        call = a_call(attempt, request=None, response=None)
        opened = OpenedRows(deliveries=[delivery_facts(delivery)])
        append_entries(received_entry(event, receipt, opened), at=event.received_at)
        append_entries(attempt_started_entry(attempt), *_ended_entries(attempt, call))
    return event


def _ended_entries(attempt: Attempt, call: Call) -> list[NewEntry]:
    """Return the audit log entry of the attempt's end, in which its delivery gets the state that it has."""
    event = attempt.delivery.event
    if event.state not in SETTLED_STATES:
        return []
    details = {
        "attempt": str(attempt.key),
        "event": event.reference,
        "action": attempt.action,
        # The attempt has a code of its own.
        "state": event.state,
        "code": attempt.code,
        "became": event.state,
        **call_facts([call]),
        **attempt_facts(attempt, event),
    }
    return [
        NewEntry(attempt.delivery.stream, f"attempt.{attempt.outcome}", details=details, at=attempt.ended_at)
    ]


def a_recorded_history(events: int = 5) -> list[Event]:
    a_source()
    return [a_recorded_event(number) for number in range(events)]


def a_requested_export(words: dict[str, str] | None = None, **values: Any) -> Export:
    return lifecycle.request_export(
        resolve_filter(words or {}, timezone.now()), **{"by": None, "reason": "the yearly audit"} | values
    )


def a_finished_export(words: dict[str, str] | None = None, **values: Any) -> Export:
    """Request an export and make it as a worker would."""
    export = a_requested_export(words, **values)
    run_jobs("export")
    export.refresh_from_db()
    assert export.state == ExportState.DONE, export.failure
    return export


def unpack_export(export: Export, into: Path) -> Path:
    with zipfile.ZipFile(export.archive) as archive:
        archive.extractall(into / str(export.pk))
    return into / str(export.pk) / "export"


def read_lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def readme_commands(folder: Path) -> list[list[str]]:
    """Return the commands that the README of an export names."""
    lines = (folder / "README.txt").read_text().splitlines()
    return [line.split() for line in lines if line.strip().startswith(("sha256sum -c", "python3 -I"))]


@lru_cache(maxsize=1)
def without_network() -> tuple[str, ...]:
    """Return the prefix that runs a command without network; empty if this machine does not allow it."""
    alone = ("unshare", "--map-root-user", "--net")
    try:
        result = subprocess.run([*alone, "true"], capture_output=True, check=False, timeout=10)
    except OSError:
        return ()
    return alone if result.returncode == 0 else ()


def run_command(command: Sequence[str], folder: Path) -> tuple[int, str]:
    """Run a README command in the folder with an empty environment, the system's Python and no network.

    Returns its exit status and its output.
    """
    python = {"python3": PYTHON, "sha256sum": "/usr/bin/sha256sum"}
    result = subprocess.run(
        [*without_network(), "/usr/bin/env", "-i", python[command[0]], *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout + result.stderr


def run_readme_commands(folder: Path) -> list[int]:
    """Run each command of the README. Returns their exit statuses."""
    return [run_command(command, folder)[0] for command in readme_commands(folder)]


def newest_checkpoint() -> Record:
    """Return the record of the newest checkpoint."""
    return checkpoint_record(Checkpoint.objects.latest("count"))


def save_checkpoint(folder: Path) -> bytes:
    """Save the newest checkpoint as the file that the README names. Returns its bytes."""
    content = checkpoint_bytes(newest_checkpoint())
    (folder.parent / "kept.json").write_bytes(content)
    return content


def delete_event_rows(event: Event) -> None:
    """Delete an event and all rows that belong to it, as an attacker with database access could."""
    Call.objects.filter(attempt__delivery__event=event).delete()
    Attempt.objects.filter(delivery__event=event).delete()
    event.deliveries.all().delete()
    event.receipts.all().delete()
    event.delete()
