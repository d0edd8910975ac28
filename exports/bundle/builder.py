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
from audit.format.signed_records import format_time
from database.clock import read_clock
from exports.bundle.archive import pack_archive
from exports.bundle.audit_evidence import sign_manifest, write_evidence
from exports.bundle.documentation import measure_own_files, write_documentation
from exports.bundle.event_selection import find_first_segment, make_fresh_checkpoint, select_events
from exports.bundle.export_rows import CHUNK_SIZE, read_rows
from exports.bundle.key_file import count_keys, read_keys, write_keys
from exports.bundle.schema import EVENTS, TABLES
from exports.bundle.snapshot import progress_connection
from exports.bundle.sqlite_copy import COPY_BATCH, snapshot_with_copy
from exports.models import Export
from exports.resumable_files import ResumableFiles, are_files_complete
from exports.subject_register import clear_register, decrypt_register_key, register_entities
from exports.tables.table_writer import write_table
from sync.jobs.running_job import GoesOn, JobStopped, RunningJob
from sync.search.event_filter import resolve

SAVE_SECONDS = 1.0
_ENTITY_COLUMN = EVENTS.column_names.index("entity_id")


@dataclass(slots=True)
class ExportRun:
    """A run of an export by whoever has claimed its job. `alias`: the connection for notes."""

    export: Export
    job: RunningJob
    alias: str
    should_continue: GoesOn
    _saved_at: float = 0.0
    _saved_position: int = 0
    _unregistered_people: set[str] = field(default_factory=set)

    def heartbeat(self) -> None:
        """Say that we are alive, at most once a second. `JobLost`, `JobStopped`."""
        if not self.should_continue():
            raise JobStopped
        if self._is_save_due():
            self.renew_lease()

    def renew_lease(self) -> None:
        """Say that we are alive, now. `JobLost`."""
        self.job.renew(using=self.alias)

    def save_fields(self, *names: str) -> None:
        """Write these fields of the export, as long as it is ours. `JobLost`."""
        export, came_further = self.export, self.export.position > self._saved_position
        with transaction.atomic(using=self.alias):
            values = {name: getattr(export, name) for name in names}
            Export.objects.using(self.alias).filter(pk=export.pk).update(**values)
            self.job.renew(using=self.alias, came_further=came_further)
        self._saved_position = export.position

    def _is_save_due(self) -> bool:
        now = time.monotonic()
        is_time = now - self._saved_at >= SAVE_SECONDS
        if is_time:
            self._saved_at = now
        return is_time

    def select_events(self) -> None:
        """Write down which events there are, and the table. In a snapshot that is younger than the checkpoint."""
        export, meant = self.export, resolve(self.export.filter, timezone.now())
        events = select_events(meant, int(export.segments or 0))
        keys = events.values_list("pk", flat=True).iterator(10_000)
        export.total = write_keys(key_file_path(export), self._with_heartbeat(keys))
        export.snapshot_at = read_clock()
        for _ in write_table(export, events):
            self.heartbeat()
        export.progress, export.position, export.counts = {"sizes": {}, "parts": [], "gone": 0}, 0, {}
        self._save_progress(dict.fromkeys(_ROW_FILES, 0))

    def _with_heartbeat(self, keys: Iterator[int]) -> Iterator[int]:
        for number, key in enumerate(keys):
            if not number % 10_000:
                self.heartbeat()
            yield key

    def remaining_keys(self, batch_size: int) -> Iterator[list[int]]:
        """The keys of the events that are not written yet."""
        for some in read_keys(key_file_path(self.export), self.export.position, batch_size):
            self.heartbeat()
            yield some

    def write_rows(self, at: datetime) -> None:
        """Everything that is not written yet, as a snapshot of that time has it."""
        export, key = self.export, decrypt_register_key(self.export)
        files = ResumableFiles(export.folder, _ROW_FILES, export.progress["sizes"])
        if export.position < (export.total or 0) or not export.progress["parts"]:
            part = {"first_event": export.position + 1, "snapshot": format_time(at)}
            export.progress["parts"].append(part)
        try:
            for keys in read_keys(key_file_path(self.export), export.position, CHUNK_SIZE):
                if not self.should_continue():
                    break
                self._write_events(files, keys)
                if self._is_save_due():
                    self._save_progress(files.flush_files(), key)
            self._save_progress(files.flush_files(), key)
            self.heartbeat()
        finally:
            files.close_files()

    def _write_events(self, files: ResumableFiles, keys: list[int]) -> None:
        found, export = read_rows(keys), self.export
        for table in TABLES:
            rows = found[table.name]
            files.append_text(f"{table.name}.jsonl", "".join(json_lines(table.column_names, rows)))
            export.counts[table.name] = export.counts.get(table.name, 0) + len(rows)
        self._unregistered_people.update(row[_ENTITY_COLUMN] for row in found["events"])
        export.progress["gone"] += len(keys) - len(found["events"])
        export.position += len(keys)

    def _save_progress(self, sizes: dict[str, int], key: bytes = b"") -> None:
        """Store the sizes of the files so far, after the register of the people in them. Raises JobLost."""
        export = self.export
        if self._unregistered_people:
            register_entities(export, key, self._unregistered_people, self.alias)
            self._unregistered_people.clear()
        export.progress["sizes"] = sizes
        self.save_fields("total", "snapshot_at", "progress", "position", "counts")

    def finish_export(self) -> dict[str, Any]:
        """The evidence, the manifest and the archive; what is known at the end."""
        export = self.export
        bundle, said = write_evidence(export, self.heartbeat, self.renew_lease)
        manifest = sign_manifest(
            bundle,
            said,
            export,
            write_documentation(export, said),
            measure_own_files(export.folder, self.heartbeat),
        )
        export.counts |= {name: manifest[name] for name in ("entries", "segments", "streams")}
        size, digest = pack_archive(export.folder, export.archive, self.heartbeat)
        return {"counts": export.counts, "size": size, "sha256": digest}


_ROW_FILES = [f"{table.name}.jsonl" for table in TABLES]


def key_file_path(export: Export) -> Path:
    """The keys of its events; beside its folder, as they are no part of it."""
    return export.folder.with_suffix(".keys")


def delete_working_files(export: Export) -> None:
    """What it was written from."""
    shutil.rmtree(export.folder, ignore_errors=True)
    key_file_path(export).unlink(missing_ok=True)


def make_export(job: RunningJob, should_continue: GoesOn) -> dict[str, Any]:
    """Make the export, or resume one that an earlier run began.

    Returns the values of the finished export. Raises JobLost, NotSealed, NoTemporarySpace, OSError and DatabaseError;
    JobStopped soon after `should_continue` returns False, with the progress saved.
    """
    with progress_connection() as alias:
        export = Export.objects.get(pk=job.subject)
        run = ExportRun(export, job, alias, should_continue, _saved_position=export.position)
        _write_rows(run)
        return run.finish_export()


def _write_rows(run: ExportRun) -> None:
    """The rows; from the beginning where what was noted is not what is there."""
    is_begun = _can_resume(run.export)
    if not is_begun:
        _prepare_run(run)
    with snapshot_with_copy(run.renew_lease) as detach:
        if not is_begun:
            run.select_events()
        at = read_clock()
        detach(run.remaining_keys(COPY_BATCH))
        run.write_rows(at)


def _can_resume(export: Export) -> bool:
    """Return True if the files that an earlier run noted are here, on this machine, and were not cut off by a power
    failure."""
    sizes = export.progress.get("sizes", {})
    return (
        sizes.keys() >= set(_ROW_FILES)
        and count_keys(key_file_path(export)) == export.total
        and are_files_complete(export.folder, sizes)
    )


def _prepare_run(run: ExportRun) -> None:
    """An empty folder, nobody in it yet, and a checkpoint that is older than the snapshot."""
    export = run.export
    clear_register(export, run.alias)
    shutil.rmtree(export.folder, ignore_errors=True)
    export.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    export.folder.mkdir(mode=0o700)
    meant, record = resolve(export.filter, timezone.now()), make_fresh_checkpoint()
    export.segments = int(record["count"])
    export.first_segment = find_first_segment(meant, export.segments)
    export.started_at = export.started_at or timezone.now()
    run.save_fields("segments", "first_segment", "started_at")
