"""One export, from its snapshot to its archive; a run that is killed is gone on with by the next.

1. A checkpoint, then a snapshot: which events there are is written down, with the table for reading. Killed before its
   end: from the beginning, with another snapshot.
2. The rows, five hundred events at a time. What is on the disk is noted about once a second; the next run cuts off what
   is behind and goes on, with a snapshot of its own: `parts` in export.json says which rows are of which.
3. The evidence, the manifest, the archive. Killed: written anew, to the same content under another signature.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit.export.line_formats import json_lines
from audit.format.signed_records import time_text
from database.clock import read_clock
from exports.bundle.archive import pack
from exports.bundle.audit_evidence import sign, write_evidence
from exports.bundle.documentation import explain, own_files
from exports.bundle.event_selection import chosen, first_segment, fresh_checkpoint
from exports.bundle.key_file import count_keys, keep_keys, kept_keys
from exports.bundle.rows import CHUNK, rows_of
from exports.bundle.schema import EVENTS, TABLES
from exports.bundle.snapshot import notes
from exports.bundle.sqlite_copy import AT_ONCE, detachable_snapshot
from exports.models import Export
from exports.resumable_files import Files, is_kept
from exports.subject_register import opened_key, register, unregister
from exports.tables.table_writer import write_table
from sync.jobs.running_job import GoesOn, JobStopped, RunningJob
from sync.search.event_filter import resolve

NOTE_SECONDS = 1.0
_ENTITY = EVENTS.names.index("entity_id")


@dataclass(slots=True)
class Run:
    """A run of an export by whoever has claimed its job. `alias`: the connection for notes."""

    export: Export
    job: RunningJob
    alias: str
    goes_on: GoesOn
    _noted_at: float = 0.0
    _noted: int = 0
    _people: set[str] = field(default_factory=set)

    def beat(self) -> None:
        """Say that we are alive, at most once a second. `JobLost`, `JobStopped`."""
        if not self.goes_on():
            raise JobStopped
        if self._is_time():
            self.keep()

    def keep(self) -> None:
        """Say that we are alive, now. `JobLost`."""
        self.job.renew(using=self.alias)

    def write(self, *names: str) -> None:
        """Write these fields of the export, as long as it is ours. `JobLost`."""
        export, came_further = self.export, self.export.position > self._noted
        with transaction.atomic(using=self.alias):
            values = {name: getattr(export, name) for name in names}
            Export.objects.using(self.alias).filter(pk=export.pk).update(**values)
            self.job.renew(using=self.alias, came_further=came_further)
        self._noted = export.position

    def _is_time(self) -> bool:
        now = time.monotonic()
        is_time = now - self._noted_at >= NOTE_SECONDS
        if is_time:
            self._noted_at = now
        return is_time

    def begin(self) -> None:
        """Write down which events there are, and the table. In a snapshot that is younger than the checkpoint."""
        export, meant = self.export, resolve(self.export.filter, timezone.now())
        events = chosen(meant, int(export.segments or 0))
        keys = events.values_list("pk", flat=True).iterator(10_000)
        export.total = keep_keys(keys_file(export), self._alive(keys))
        export.snapshot_at = read_clock()
        for _ in write_table(export, events):
            self.beat()
        export.progress, export.position, export.counts = {"sizes": {}, "parts": [], "gone": 0}, 0, {}
        self._note(dict.fromkeys(_FILES, 0))

    def _alive(self, keys: Iterator[int]) -> Iterator[int]:
        for number, key in enumerate(keys):
            if not number % 10_000:
                self.beat()
            yield key

    def keys_left(self, at_once: int) -> Iterator[list[int]]:
        """The keys of the events that are not written yet."""
        for some in kept_keys(keys_file(self.export), self.export.position, at_once):
            self.beat()
            yield some

    def write_rows(self, at: datetime) -> None:
        """Everything that is not written yet, as a snapshot of that time has it."""
        export, key = self.export, opened_key(self.export)
        files = Files(export.folder, _FILES, export.progress["sizes"])
        if export.position < (export.total or 0) or not export.progress["parts"]:
            part = {"first_event": export.position + 1, "snapshot": time_text(at)}
            export.progress["parts"].append(part)
        try:
            for keys in kept_keys(keys_file(self.export), export.position, CHUNK):
                if not self.goes_on():
                    break
                self._write(files, keys)
                if self._is_time():
                    self._note(files.kept(), key)
            self._note(files.kept(), key)
            self.beat()
        finally:
            files.close()

    def _write(self, files: Files, keys: list[int]) -> None:
        found, export = rows_of(keys), self.export
        for table in TABLES:
            rows = found[table.name]
            files.add(f"{table.name}.jsonl", "".join(json_lines(table.names, rows)))
            export.counts[table.name] = export.counts.get(table.name, 0) + len(rows)
        self._people.update(row[_ENTITY] for row in found["events"])
        export.progress["gone"] += len(keys) - len(found["events"])
        export.position += len(keys)

    def _note(self, sizes: dict[str, int], key: bytes = b"") -> None:
        """Store the sizes of the files so far, after the register of the people in them. Raises JobLost."""
        export = self.export
        if self._people:
            register(export, key, self._people, self.alias)
            self._people.clear()
        export.progress["sizes"] = sizes
        self.write("total", "snapshot_at", "progress", "position", "counts")

    def finish(self) -> dict[str, Any]:
        """The evidence, the manifest and the archive; what is known at the end."""
        export = self.export
        bundle, said = write_evidence(export, self.beat, self.keep)
        manifest = sign(bundle, said, export, explain(export, said), own_files(export.folder, self.beat))
        export.counts |= {name: manifest[name] for name in ("entries", "segments", "streams")}
        size, digest = pack(export.folder, export.archive, self.beat)
        return {"counts": export.counts, "size": size, "sha256": digest}


_FILES = [f"{table.name}.jsonl" for table in TABLES]


def keys_file(export: Export) -> Path:
    """The keys of its events; beside its folder, as they are no part of it."""
    return export.folder.with_suffix(".keys")


def remove_work(export: Export) -> None:
    """What it was written from."""
    shutil.rmtree(export.folder, ignore_errors=True)
    keys_file(export).unlink(missing_ok=True)


def make(job: RunningJob, goes_on: GoesOn) -> dict[str, Any]:
    """Make the export, or go on with it. `JobLost`, `NotSealed`, `NoRoom`, `OSError`, `DatabaseError`; `JobStopped`
    soon after it may not go on, with what was written noted."""
    with notes() as alias:
        export = Export.objects.get(pk=job.subject)
        run = Run(export, job, alias, goes_on, _noted=export.position)
        _write(run)
        return run.finish()


def _write(run: Run) -> None:
    """The rows; from the beginning where what was noted is not what is there."""
    is_begun = _can_go_on(run.export)
    if not is_begun:
        _prepare(run)
    with detachable_snapshot(run.keep) as detach:
        if not is_begun:
            run.begin()
        at = read_clock()
        detach(run.keys_left(AT_ONCE))
        run.write_rows(at)


def _can_go_on(export: Export) -> bool:
    """Return True if the files that an earlier run noted are here, on this machine, and were not cut off by a power
    failure."""
    sizes = export.progress.get("sizes", {})
    return (
        sizes.keys() >= set(_FILES)
        and count_keys(keys_file(export)) == export.total
        and is_kept(export.folder, sizes)
    )


def _prepare(run: Run) -> None:
    """An empty folder, nobody in it yet, and a checkpoint that is older than the snapshot."""
    export = run.export
    unregister(export, run.alias)
    shutil.rmtree(export.folder, ignore_errors=True)
    export.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    export.folder.mkdir(mode=0o700)
    meant, record = resolve(export.filter, timezone.now()), fresh_checkpoint()
    export.segments = int(record["count"])
    export.first_segment = first_segment(meant, export.segments)
    export.started_at = export.started_at or timezone.now()
    run.write("segments", "first_segment", "started_at")
