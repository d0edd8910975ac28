"""Files in which each process stores what it measures, and from which one process reads what all have measured.

The format is that of prometheus-client's multiprocess mode: a file a process and kind of metric, mapped into memory. A
process is alive while it locks its file `*.lock`; the system unlocks it however the process ends, also in another
container. What ended processes have counted is added to one file, so that no counter falls and the folder stays small.
"""

import fcntl
import hashlib
import json
import logging
import mmap
import os
import secrets
import shutil
import struct
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

from sync.metrics.declared import BUCKET_BOUNDS, BUCKET_NAMES, PROCESS_METRICS, Kind, MetricDeclaration

logger = logging.getLogger("hub.metrics")

Labels = tuple[str, ...]
KeepsLabels = Callable[[Mapping[str, str]], bool]

# Bytes of a file when it begins, doubled as needed up to these. A histogram takes 2.5 KB for each combination of
# labels; 100 connections with all purposes take 2.5 MB.
_FIRST_BYTES: Mapping[Kind, int] = {"counter": 65_536, "histogram": 262_144, "gauge": 16_384}
MAX_BYTES: Mapping[Kind, int] = {"counter": 4_194_304, "histogram": 8_388_608, "gauge": 16_384}
_PREFIXES: Mapping[Kind, str] = {"counter": "counter", "histogram": "histogram", "gauge": "gauge_livesum"}
# A file is replaced before it is full, so that nothing is lost.
_FULL_SHARE = 0.5
_ENTRY_BYTES = 32  # of an entry beyond its key, at most
_FOLDER_LOCK = "folder.lock"
_ENDED = "ended"
_DAMAGES = (RuntimeError, ValueError, struct.error, OSError)


def metrics_folder(parent: Path) -> Path:
    """Return the folder for the metrics of this version: files of other declarations are not mixed with its own."""
    declared = [(metric.name, metric.kind, metric.labels) for metric in PROCESS_METRICS]
    digest = hashlib.sha256(json.dumps([declared, BUCKET_NAMES]).encode()).hexdigest()
    return parent / digest[:12]


class ProcessFiles:
    """The series of this process. Every method is safe in any thread; no other process is waited for.

    Raises OSError if the files cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        identity = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, Labels], tuple[str, ...]] = {}
        # Another process must not take this one for an ended one before it is locked.
        with _locked_folder(folder):
            self._path = folder / f"{identity}.lock"
            self._life = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._life, fcntl.LOCK_EX)
            try:
                self._files = {
                    kind: _SeriesFile(folder / f"{prefix}_{identity}.db", _FIRST_BYTES[kind], MAX_BYTES[kind])
                    for kind, prefix in _PREFIXES.items()
                }
            except BaseException:
                # Its files are deleted as those of an ended process.
                os.close(self._life)
                raise

    @property
    def must_be_replaced(self) -> bool:
        """True if a file is nearly full, or was deleted."""
        return not self._path.exists() or any(file.is_nearly_full for file in self._files.values())

    def add(self, metric: MetricDeclaration, labels: Labels, amount: float) -> None:
        """Add to a counter or gauge. A new combination of labels for which there is no room is lost."""
        with self._lock:
            if keys := self._find_keys(metric, labels):
                self._files[metric.kind].add(keys[0], amount)

    def set(self, metric: MetricDeclaration, labels: Labels, value: float) -> None:
        """Set a gauge."""
        with self._lock:
            if keys := self._find_keys(metric, labels):
                self._files[metric.kind].write_value(keys[0], value, 0.0)

    def observe(self, metric: MetricDeclaration, labels: Labels, seconds: float) -> None:
        """Add a duration to a histogram."""
        with self._lock:
            if keys := self._find_keys(metric, labels):
                file = self._files[metric.kind]
                file.add(keys[bisect_left(BUCKET_BOUNDS, seconds)], 1.0)
                file.add(keys[-1], seconds)

    def close(self) -> None:
        """End the series of this process: the counters count on as those of an ended one."""
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files, self._keys = {}, {}
            os.close(self._life)

    def _find_keys(self, metric: MetricDeclaration, labels: Labels) -> tuple[str, ...]:
        """Return the keys of a series, which is begun with zeros; none if there is no room, or it is closed."""
        keys = self._keys.get((metric.name, labels))
        if keys is None:
            keys = _make_keys(metric, labels)
            file = self._files.get(metric.kind)
            if file is None or not file.begin(keys):
                return ()
            self._keys[metric.name, labels] = keys
        return keys


class _SeriesFile(MmapedDict):
    """A file that grows up to a size."""

    def __init__(self, path: Path, size: int, max_size: int) -> None:
        self._max_size = max_size
        # Allocated in whole: a write into a hole of the file would end the process where the disk is full (SIGBUS).
        with path.open("xb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        super().__init__(str(path))

    @property
    def is_nearly_full(self) -> bool:
        return bool(self._used > _FULL_SHARE * self._max_size)

    def begin(self, keys: Iterable[str]) -> bool:
        """Begin series with zero. Returns False if there is no room for all."""
        needed = self._used + sum(len(key.encode()) + _ENTRY_BYTES for key in keys)
        while needed > self._capacity:
            if not self._grow():
                return False
        for key in keys:
            self.read_value(key)
        return True

    def add(self, key: str, amount: float) -> None:
        self.write_value(key, self.read_value(key)[0] + amount, 0.0)

    def _grow(self) -> bool:
        size = 2 * self._capacity
        if size > self._max_size:
            return False
        try:
            os.posix_fallocate(self._f.fileno(), 0, size)
        except OSError:
            return False
        self._m.close()
        self._m, self._capacity = mmap.mmap(self._f.fileno(), size), size
        return True


def _make_keys(metric: MetricDeclaration, labels: Labels) -> tuple[str, ...]:
    """Return the keys of a series in its file; of a histogram those of all buckets, and last that of the sum."""
    names = list(metric.labels)
    if metric.kind != "histogram":
        return (mmap_key(metric.family, metric.name, names, list(labels), ""),)
    return (
        *(
            mmap_key(metric.family, f"{metric.family}_bucket", [*names, "le"], [*labels, bound], "")
            for bound in BUCKET_NAMES
        ),
        mmap_key(metric.family, f"{metric.family}_sum", names, list(labels), ""),
    )


def read_families(folder: Path, keeps: KeepsLabels) -> list[Metric]:
    """Return what all processes of the machine have measured, without the samples whose labels are not kept."""
    if not folder.is_dir():
        return []
    with _locked_folder(folder):
        _add_ended_processes(folder, keeps)
        files = list(folder.glob("*.db"))
        try:
            families = _merge_files(files)
        except _DAMAGES:
            families = _merge_files(file for file in files if _read_values(file))
    for family in families:
        family.samples = [sample for sample in family.samples if keeps(sample.labels)]
    return families


def _merge_files(files: Iterable[Path]) -> list[Metric]:
    return list(MultiProcessCollector.merge([str(file) for file in files]))


def delete_other_versions(folder: Path) -> None:
    """Delete the folders of other versions in which no process is alive."""
    for other in folder.parent.iterdir():
        if other == folder or not (other / _FOLDER_LOCK).exists():
            continue
        with _locked_folder(other):
            is_used = any(not _has_ended(lock) for lock in _life_locks(other))
        if not is_used:
            shutil.rmtree(other, ignore_errors=True)


def _add_ended_processes(folder: Path, keeps: KeepsLabels) -> None:
    """Add the counters of ended processes to those of the processes that ended earlier, and delete their files."""
    ended = [lock.stem for lock in _life_locks(folder) if _has_ended(lock)]
    if not ended:
        return
    for kind in ("counter", "histogram"):
        total = folder / f"{kind}_{_ENDED}.db"
        values: defaultdict[str, float] = defaultdict(float)
        for path in (total, *(folder / f"{kind}_{identity}.db" for identity in ended)):
            for key, value in _read_values(path):
                values[key] += value
        _write_values(total, {key: value for key, value in values.items() if keeps(json.loads(key)[2])})
    for identity in ended:
        for path in (
            *(folder / f"{prefix}_{identity}.db" for prefix in _PREFIXES.values()),
            folder / f"{identity}.lock",
        ):
            path.unlink(missing_ok=True)


def _read_values(path: Path) -> list[tuple[str, float]]:
    """Return keys and values of a file; none if it is missing or damaged, as after a power cut."""
    try:
        return [(key, value) for key, value, *_ in MmapedDict.read_all_values_from_file(str(path))]
    except FileNotFoundError:
        return []
    except _DAMAGES as damage:
        logger.warning("the metrics in %s cannot be read (%s)", path.name, type(damage).__name__)
        return []


def _write_values(path: Path, values: Mapping[str, float]) -> None:
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    size = sum(len(key.encode()) + _ENTRY_BYTES for key in values) + 4096
    file = _SeriesFile(new, size, size)
    for key, value in values.items():
        file.write_value(key, value, 0.0)
    file.close()
    new.replace(path)


def _life_locks(folder: Path) -> Iterator[Path]:
    return (lock for lock in folder.glob("*.lock") if lock.name != _FOLDER_LOCK)


def _has_ended(lock: Path) -> bool:
    """True if no living process holds this file."""
    file = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """Let one process at a time begin, or read what all have measured. None waits for it that only measures."""
    file = os.open(folder / _FOLDER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
