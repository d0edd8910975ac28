"""Make one export, from its snapshot to its archive. A run that is killed is resumed by the next one.

1. A checkpoint, then a snapshot: the selected events are written to the key file, and the readable table is written.
   Killed before the end of this step: the next run begins again, with another snapshot.
2. The rows, five hundred events at a time. Progress is saved about once a second. The next run cuts off what was
   written after the last save and resumes with a snapshot of its own: `parts` in export.json says which rows belong
   to which snapshot.
3. The evidence, the manifest, the archive. Killed: written again, with the same content under another signature.
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

from audit.export.line_formats import json_lines, with_requester
from audit.format.signed_records import format_time
from database.clock import read_clock
from exports.bundle.archive import pack_archive
from exports.bundle.audit_evidence import first_stored_segment, sign_manifest, write_evidence
from exports.bundle.documentation import measure_own_files, write_documentation
from exports.bundle.event_selection import find_first_segment, make_fresh_checkpoint, select_events
from exports.bundle.export_rows import CHUNK_SIZE, read_rows
from exports.bundle.key_file import count_keys, read_keys, write_keys
from exports.bundle.recorded_slugs import read_recorded_slugs, with_slugs
from exports.bundle.schema import EVENTS, TABLES
from exports.bundle.snapshot import progress_connection
from exports.bundle.sqlite_copy import COPY_BATCH, snapshot_with_copy
from exports.bundle.unreadable_rows import find_unreadable_event
from exports.damaged_values import READ_ERRORS, is_damage
from exports.models import Export
from exports.resumable_files import ResumableFiles, are_files_complete
from exports.subject_register import clear_register, decrypt_register_key, register_entities
from exports.tables.table_writer import write_table
from sync.jobs.running_job import JobStopped, RunningJob, ShouldContinue
from sync.search.event_filter import resolve_filter

SAVE_SECONDS = 1.0
_ENTITY_COLUMN = EVENTS.column_names.index("entity_id")


class AwaitsApproval(Exception):
    """Raised if a second person must approve the export first: it has too many events. `total` is saved."""


@dataclass(slots=True)
class ExportRun:
    """One run of an export, by the worker that has claimed its job.

    `alias` names the connection that saves progress while the default one holds the snapshot.
    """

    export: Export
    job: RunningJob
    alias: str
    should_continue: ShouldContinue
    _saved_at: float = 0.0
    _saved_position: int = 0
    _unregistered_people: set[str] = field(default_factory=set)
    _slugs: dict[str, str] = field(default_factory=dict)

    def heartbeat(self) -> None:
        """Renew the lease, at most once a second. Raises JobLost, and JobStopped if the run shall not continue."""
        if not self.should_continue():
            raise JobStopped
        if self._is_save_due():
            self.renew_lease()

    def renew_lease(self) -> None:
        """Renew the lease of the job now. Raises JobLost."""
        self.job.renew_lease(using=self.alias)

    def save_fields(self, *names: str) -> None:
        """Save these fields of the export if this run still owns its job. Raises JobLost."""
        export, has_advanced = self.export, self.export.position > self._saved_position
        with transaction.atomic(using=self.alias):
            values = {name: getattr(export, name) for name in names}
            Export.objects.using(self.alias).filter(pk=export.pk).update(**values)
            self.job.renew_lease(using=self.alias, made_progress=has_advanced)
        self._saved_position = export.position

    def _is_save_due(self) -> bool:
        now = time.monotonic()
        is_due = now - self._saved_at >= SAVE_SECONDS
        if is_due:
            self._saved_at = now
        return is_due

    def read_slugs(self) -> None:
        """Read the slugs that the entries of a whole export say. A filtered export has no such entries."""
        export = self.export
        if export.first_segment is not None:
            count = int(export.segments or 0)
            self._slugs = read_recorded_slugs(first_stored_segment(export.first_segment, count), count)

    def select_events(self) -> None:
        """Write the keys of the selected events and the readable table, in a snapshot taken after the checkpoint.

        Raises AwaitsApproval before any row of an event is written.
        """
        export, event_filter = self.export, resolve_filter(self.export.filter, timezone.now())
        events = select_events(event_filter, int(export.segments or 0))
        keys = events.values_list("pk", flat=True).iterator(10_000)
        export.total = write_keys(key_file_path(export), self._with_heartbeat(keys))
        if export.needs_approval:
            self.save_fields("total")
            raise AwaitsApproval
        export.snapshot_at = read_clock()
        for _ in write_table(export, events):
            self.heartbeat()
        export.progress, export.position, export.counts = {"sizes": {}, "parts": [], "gone": 0}, 0, {}
        self._save_progress(dict.fromkeys(_ROW_FILES, 0))

    def _with_heartbeat(self, keys: Iterator[int]) -> Iterator[int]:
        for number, key in enumerate(keys):
            # The heartbeat looks at the clock: not for every key.
            if not number % 10_000:
                self.heartbeat()
            yield key

    def remaining_keys(self, batch_size: int) -> Iterator[list[int]]:
        """Yield the keys of the events that are not written yet, in batches."""
        for keys in read_keys(key_file_path(self.export), self.export.position, batch_size):
            self.heartbeat()
            yield keys

    def selected_keys(self) -> Iterator[list[int]]:
        """Yield the keys of all selected events, in batches. Uses the filter if they are not written yet."""
        if self.export.total is not None:
            for keys in read_keys(key_file_path(self.export), 0, CHUNK_SIZE):
                self.heartbeat()
                yield keys
            return
        after = 0
        event_filter = resolve_filter(self.export.filter, timezone.now())
        selected = select_events(event_filter, int(self.export.segments or 0)).values_list("pk", flat=True)
        while keys := list(selected.filter(pk__gt=after)[:CHUNK_SIZE]):
            self.heartbeat()
            yield keys
            after = keys[-1]

    def write_rows(self, at: datetime) -> None:
        """Write all remaining rows, as of the snapshot taken at that time."""
        export, key = self.export, decrypt_register_key(self.export)
        files = ResumableFiles(export.folder, _ROW_FILES, export.progress["sizes"])
        # A run that resumes after the last row takes no row from its snapshot, so it adds no part.
        if export.position < (export.total or 0) or not export.progress["parts"]:
            part = {"first_event": export.position + 1, "snapshot": format_time(at)}
            export.progress["parts"].append(part)
        try:
            for keys in read_keys(key_file_path(self.export), export.position, CHUNK_SIZE):
                # The heartbeat below raises JobStopped, after the progress is saved.
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
        tables, export = with_slugs(read_rows(keys), self._slugs), self.export
        for table in TABLES:
            rows = tables[table.name]
            lines = json_lines(table.file_columns, with_requester(rows, export.actor))
            files.append_text(f"{table.name}.jsonl", "".join(lines))
            export.counts[table.name] = export.counts.get(table.name, 0) + len(rows)
        self._unregistered_people.update(row[_ENTITY_COLUMN] for row in tables["events"])
        export.progress["gone"] += len(keys) - len(tables["events"])
        export.position += len(keys)

    def _save_progress(self, sizes: dict[str, int], key: bytes = b"") -> None:
        """Save the file sizes reached, after registering the people in those files. Raises JobLost."""
        export = self.export
        # The register first: every person in a file that a resumed run continues must be in the register too.
        if self._unregistered_people:
            register_entities(export, key, self._unregistered_people, self.alias)
            self._unregistered_people.clear()
        export.progress["sizes"] = sizes
        self.save_fields("total", "snapshot_at", "progress", "position", "counts")

    def finish_export(self) -> dict[str, Any]:
        """Write the evidence, the manifest and the archive. Returns the values that the finished export gets."""
        export = self.export
        bundle, evidence_facts = write_evidence(export, self.heartbeat, self.renew_lease)
        # The arguments are evaluated in order: the documentation is written before it is measured.
        manifest = sign_manifest(
            bundle,
            evidence_facts,
            export,
            write_documentation(export, evidence_facts),
            measure_own_files(export.folder, self.heartbeat),
        )
        export.counts |= {name: manifest[name] for name in ("entries", "segments", "streams")}
        size, digest = pack_archive(export.folder, export.archive, self.heartbeat)
        return {"counts": export.counts, "size": size, "sha256": digest}


_ROW_FILES = [f"{table.name}.jsonl" for table in TABLES]


def key_file_path(export: Export) -> Path:
    """Return the path of the key file. It is outside the export's folder because it is not part of the export."""
    return export.folder.with_suffix(".keys")


def delete_working_files(export: Export) -> None:
    """Delete the files that the archive was packed from."""
    shutil.rmtree(export.folder, ignore_errors=True)
    key_file_path(export).unlink(missing_ok=True)


def make_export(job: RunningJob, should_continue: ShouldContinue) -> dict[str, Any]:
    """Make the export, or resume one that an earlier run began.

    Returns the values of the finished export. Raises AwaitsApproval, JobLost, NotSealed, NoTemporarySpace,
    UnreadableRows, OSError and DatabaseError; JobStopped soon after `should_continue` returns False, with the progress
    saved.
    """
    # The default connection holds the snapshot, so progress is saved over another one.
    with progress_connection() as alias:
        export = Export.objects.get(pk=job.subject)
        run = ExportRun(export, job, alias, should_continue, _saved_position=export.position)
        try:
            _write_rows(run)
        except READ_ERRORS as error:
            if not is_damage(error):
                raise
            # The snapshot is closed: this reads the events as they are now.
            found = find_unreadable_event(run.selected_keys())
            if found is None:
                raise
            raise found from error
        return run.finish_export()


def _write_rows(run: ExportRun) -> None:
    """Write the rows, from the beginning if the saved progress does not match the files."""
    is_begun = _can_resume(run.export)
    if not is_begun:
        _prepare_run(run)
    # Before the snapshot, which has no copy of the log. Sealed entries do not change.
    run.read_slugs()
    with snapshot_with_copy(run.renew_lease) as copy_rows:
        if not is_begun:
            run.select_events()
        at = read_clock()
        copy_rows(run.remaining_keys(COPY_BATCH))
        run.write_rows(at)


def _can_resume(export: Export) -> bool:
    """Return True if the files of an earlier run are on this machine and no power failure cut them off."""
    sizes = export.progress.get("sizes", {})
    return (
        sizes.keys() >= set(_ROW_FILES)
        and count_keys(key_file_path(export)) == export.total
        and are_files_complete(export.folder, sizes)
    )


def _prepare_run(run: ExportRun) -> None:
    """Prepare a first run: an empty folder, an empty register, and a checkpoint that is older than the snapshot."""
    export = run.export
    clear_register(export, run.alias)
    shutil.rmtree(export.folder, ignore_errors=True)
    export.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    export.folder.mkdir(mode=0o700)
    event_filter, record = resolve_filter(export.filter, timezone.now()), make_fresh_checkpoint()
    export.segments = int(record["count"])
    export.first_segment = find_first_segment(event_filter, export.segments)
    export.started_at = export.started_at or timezone.now()
    run.save_fields("segments", "first_segment", "started_at")
