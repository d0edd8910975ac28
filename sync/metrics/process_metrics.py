"""Measure what this process does. Without METRICS_TOKEN, and in commands that begin nothing, nothing is measured.

A measurement adds to memory that is mapped to a file of this process: 2 to 4 microseconds, no statement, no system call
and no lock of another process. What needs the database or a file is done by a thread, a few times a minute.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from database.connection import release_connection
from sync.metrics import declared
from sync.metrics.declared import MetricDeclaration
from sync.metrics.label_names import LabelNames
from sync.metrics.series_files import ProcessFiles, delete_other_versions, metrics_folder

logger = logging.getLogger("hub.metrics")

PUBLISH_SECONDS = 5.0
REFRESH_SECONDS = 60.0


class MeasuredProcess:
    """What this process has measured, and the names in its labels. `role`: web, worker, or job."""

    def __init__(self, role: str, limits: Mapping[MetricDeclaration, int]) -> None:
        self.pid, self.role, self.names = os.getpid(), role, LabelNames()
        self.folder = metrics_folder(Path(settings.METRICS_FOLDER))
        self.files: ProcessFiles | None = None
        self._limits, self._refresh_at = limits, 0.0

    def start(self) -> None:
        """Begin to measure, and the thread that keeps the files in order."""
        self.begin_files()
        threading.Thread(target=self._run, name="metrics", daemon=True).start()

    def begin_files(self) -> None:
        """Begin new files, and delete those of other versions."""
        self.replace_files()
        with suppress(OSError):
            delete_other_versions(self.folder)

    def replace_files(self) -> None:
        """Begin new files. Where that fails, nothing is measured until the next try."""
        old, new = self.files, None
        try:
            new = ProcessFiles(self.folder)
        except OSError as error:
            logger.warning("nothing is measured: %s: %s", self.folder, error.strerror)
        self.files = new
        if old is not None:
            old.close()
        if new is not None:
            new.set(declared.PROCESSES, (self.role,), 1)
            for metric, limit in self._limits.items():
                new.set(metric, (self.role,) if metric.labels else (), limit)

    def keep_in_order(self) -> None:
        """Replace files that are full, publish the figures of the pool, and read the names for labels once a minute."""
        if self.files is None or self.files.must_be_replaced:
            self.replace_files()
        self._publish_pool()
        if time.monotonic() >= self._refresh_at:
            self._refresh_at = time.monotonic() + REFRESH_SECONDS
            self.names.refresh()

    def _publish_pool(self) -> None:
        connection = connections[DEFAULT_DB_ALIAS]
        if self.files is None or connection.vendor != "postgresql":
            return
        pool = connection.pool  # type: ignore[attr-defined]
        if pool is None:
            return
        figures, role = pool.get_stats(), (self.role,)
        self.files.set(declared.POOL_LIMIT, role, figures.get("pool_max", 0))
        self.files.set(
            declared.POOL_USED, role, figures.get("pool_size", 0) - figures.get("pool_available", 0)
        )
        self.files.set(declared.POOL_WAITING, role, figures.get("requests_waiting", 0))

    def _run(self) -> None:
        while True:
            try:
                self.keep_in_order()
            except DatabaseError as error:
                logger.debug("the names for labels could not be read (%s)", type(error).__name__)
            except Exception:
                logger.exception("the metrics of this process could not be kept in order; retrying")
            finally:
                release_connection()
            time.sleep(PUBLISH_SECONDS)


_process: MeasuredProcess | None = None


def measured_process() -> MeasuredProcess | None:
    """Return what this process measures; None if it does not measure, also in a process that was forked from one."""
    process = _process
    return process if process is not None and process.pid == os.getpid() else None


def start_measuring(role: str, limits: Mapping[MetricDeclaration, int] | None = None) -> None:
    """Measure from now on, if METRICS_TOKEN is set. `limits`: gauges that do not change. Begins a thread."""
    global _process  # noqa: PLW0603 - one a process
    if settings.METRICS_TOKEN and measured_process() is None:
        process = MeasuredProcess(role, limits or {})
        process.start()
        _process = process


def _open_files() -> tuple[MeasuredProcess, ProcessFiles] | None:
    process = measured_process()
    files = None if process is None else process.files
    return None if process is None or files is None else (process, files)


def count_webhook(source: str, outcome: str, status: int, seconds: float) -> None:
    """Count an answer to a request of a source. Only a request of a source that exists has a status below 400."""
    if (measured := _open_files()) is not None:
        process, files = measured
        label = process.names.sources.find_label(source, is_configured=status < 400)
        files.add(declared.WEBHOOKS, (label, outcome, str(status)), 1)
        files.observe(declared.WEBHOOK_SECONDS, (label,), seconds)


def count_console_response(status: int, seconds: float) -> None:
    """Count a response of the console."""
    if (measured := _open_files()) is not None:
        measured[1].observe(declared.CONSOLE_SECONDS, (f"{status // 100}xx",), seconds)


def count_unread_request(code: str) -> None:
    """Count a request that the web server refused before it was read."""
    if (measured := _open_files()) is not None:
        measured[1].add(declared.UNREAD_REQUESTS, (code,), 1)


def count_request(connection: str, purpose: str, code: str, seconds: float) -> None:
    """Count a request to a connected system; `code` is empty for a success."""
    if (measured := _open_files()) is not None:
        process, files = measured
        label = process.names.connections.find_label(connection)
        files.observe(declared.REQUEST_SECONDS, (label, purpose), seconds)
        if code:
            files.add(declared.REQUEST_FAILURES, (label, code), 1)


def count_attempt(outcome: str, owner: str) -> None:
    """Count an attempt that ended."""
    if (measured := _open_files()) is not None:
        measured[1].add(declared.ATTEMPTS, (outcome, owner), 1)


def count_delivery(state: str, seconds: float) -> None:
    """Count a delivery that ended."""
    if (measured := _open_files()) is not None:
        measured[1].observe(declared.DELIVERY_SECONDS, (state,), max(0.0, seconds))


@contextmanager
def running_attempt() -> Iterator[None]:
    """Count the block as an attempt that runs."""
    measured = _open_files()
    if measured is None:
        yield
        return
    labels = (measured[0].role,)
    measured[1].add(declared.ATTEMPTS_RUNNING, labels, 1)
    try:
        yield
    finally:
        measured[1].add(declared.ATTEMPTS_RUNNING, labels, -1)


@contextmanager
def running_request() -> Iterator[None]:
    """Count the block as a request that a web process answers."""
    measured = _open_files()
    if measured is None:
        yield
        return
    measured[1].add(declared.HTTP_RUNNING, (), 1)
    try:
        yield
    finally:
        measured[1].add(declared.HTTP_RUNNING, (), -1)
