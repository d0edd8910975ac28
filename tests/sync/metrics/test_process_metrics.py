"""What one process measures, all processes of the machine show: while it runs, after it was killed, and within bounds."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from sync.metrics import declared, process_metrics, series_files
from sync.metrics.exposition import expose
from sync.metrics.label_names import MAX_NAMES, BoundedNames
from sync.metrics.process_metrics import MeasuredProcess, count_request, count_webhook, running_attempt
from sync.metrics.series_files import MAX_BYTES, ProcessFiles, read_families
from tests.support.metrics import TOKEN, Series, measured_hub, parse_series, value_of

ROOT = Path(__file__).parents[3]
# A process of its own: it measures, says so, and waits.
_PROGRAM = """
import sys, time
from pathlib import Path
from sync.metrics import declared
from sync.metrics.series_files import ProcessFiles
files = ProcessFiles(Path(sys.argv[1]))
files.add(declared.ATTEMPTS, ("failed", "target"), 3)
files.add(declared.ATTEMPTS_RUNNING, ("worker",), 5)
files.observe(declared.DELIVERY_SECONDS, ("dead",), 0.3)
print("measured", flush=True)
time.sleep(60)
"""


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[MeasuredProcess]:
    with measured_hub(tmp_path) as process:
        yield process


def series() -> Series:
    """Return what the processes of the machine have measured."""
    return parse_series(expose("").body.decode())


def start_process(folder: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "measured\n"
    return process


@pytest.mark.pure
@pytest.mark.concurrent
def test_counts_of_a_killed_process_stay_and_its_gauges_and_files_go(measured: MeasuredProcess) -> None:
    """A web process shows what a worker of the same machine has measured. Twice, so that ended ones add up."""
    for number in (1, 2):
        process = start_process(measured.folder)
        living = series()
        assert value_of(living, "hub_attempts_total", outcome="failed", owner="target") == 3 * number
        assert value_of(living, "hub_attempts_running", role="worker") == 5
        process.send_signal(signal.SIGKILL)
        process.wait()
        for _ in range(2):
            ended = series()
            assert value_of(ended, "hub_attempts_total", outcome="failed", owner="target") == 3 * number
            assert value_of(ended, "hub_delivery_duration_seconds_bucket", state="dead", le="0.25") == 0
            assert value_of(ended, "hub_delivery_duration_seconds_bucket", state="dead", le="0.5") == number
            assert value_of(ended, "hub_attempts_running", role="worker") == 0
    # Three files and a lock of this process, two files of the ended ones, and the lock of the folder.
    assert len(list(measured.folder.iterdir())) == 7


@pytest.mark.pure
def test_ten_thousand_connections_and_sources_stay_bounded(measured: MeasuredProcess) -> None:
    """Each name has its share of the files only among the first 100 or the busiest; later ones share `other`."""
    for number in range(10_000):
        count_request(f"system-{number}", "fetch", "target-timeout" if number % 2 else "", 0.1)
    for number in range(1_000):
        count_webhook(f"source-{number}", "succeeded", 200, 0.1)
    shown = series()
    for label in ("connection", "source"):
        names = {value for _, labels in shown for name, value in labels if name == label}
        assert len(names) == MAX_NAMES + 1, label
        assert declared.OTHER in names
    assert value_of(shown, "hub_request_duration_seconds_count") == 10_000
    assert value_of(shown, "hub_request_duration_seconds_count", connection="other") == 10_000 - MAX_NAMES
    assert value_of(shown, "hub_webhooks_total") == 1_000
    size = sum(file.stat().st_size for file in measured.folder.iterdir())
    assert size <= 2_000_000
    assert len(expose("").body) < 1_000_000


@pytest.mark.submission
@pytest.mark.pure
def test_the_busiest_take_the_places_of_others_and_files_that_are_full_are_replaced(
    measured: MeasuredProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names change hour after hour: nothing is lost of those shown, and no file exceeds its limit."""
    limits = {**MAX_BYTES, "histogram": 1_048_576}
    monkeypatch.setattr(series_files, "MAX_BYTES", limits)
    measured.replace_files()
    replaced = 0
    for hour in range(5):
        busiest = {f"system-{hour}-{number}" for number in range(MAX_NAMES)}
        measured.names.connections.replace(busiest)
        for name in busiest:
            count_request(name, "fetch", "", 0.1)
        assert measured.files is not None
        if measured.files.must_be_replaced:
            measured.replace_files()
            replaced += 1
        shown = series()
        names = {value for _, labels in shown for name, value in labels if name == "connection"}
        assert names == busiest
        assert value_of(shown, "hub_request_duration_seconds_count") == MAX_NAMES
    assert replaced >= 1
    assert all(file.stat().st_size <= 1_048_576 for file in measured.folder.glob("*.db"))


@pytest.mark.pure
def test_a_name_that_is_not_configured_takes_no_place() -> None:
    names = BoundedNames()
    assert [names.find_label(name, is_configured=False) for name in ("guess", "aurora")] == ["other", "other"]
    assert names.find_label("aurora") == "aurora"
    assert names.find_label("aurora", is_configured=False) == "aurora"


@pytest.mark.pure
@pytest.mark.concurrent
def test_threads_of_one_process_lose_no_measurement(measured: MeasuredProcess) -> None:
    def measure() -> None:
        for _ in range(500):
            count_request("shop", "update", "target-timeout", 0.1)
            with running_attempt():
                pass

    threads = [threading.Thread(target=measure) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shown = series()
    assert value_of(shown, "hub_request_duration_seconds_count", connection="shop") == 4_000
    assert value_of(shown, "hub_request_failures_total", connection="shop", code="target-timeout") == 4_000
    assert value_of(shown, "hub_attempts_running") == 0


@pytest.mark.pure
@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"\xff" * 4096])
def test_a_damaged_file_of_an_ended_process_hides_nothing_else(
    measured: MeasuredProcess, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a power cut: of the file of a process, and of the file of all ended ones."""
    count_request("shop", "update", "", 0.1)
    (measured.folder / "0123.lock").touch()
    (measured.folder / "counter_0123.db").write_bytes(damage)
    for _ in range(2):
        (measured.folder / "histogram_ended.db").write_bytes(damage)
        assert value_of(series(), "hub_request_duration_seconds_count", connection="shop") == 1
    assert not (measured.folder / "counter_0123.db").exists()


@pytest.mark.pure
def test_a_full_disk_stops_measuring_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with measured_hub(tmp_path) as process:
        monkeypatch.setattr(os, "posix_fallocate", refuse)
        process.replace_files()
        assert process.files is None
        count_request("shop", "update", "", 0.1)
        with running_attempt():
            pass
        monkeypatch.undo()
        process.replace_files()
        count_request("shop", "update", "", 0.1)
        assert value_of(series(), "hub_request_duration_seconds_count", connection="shop") == 1
        # That of this process and that of the folder: what could not be made is deleted.
        assert len(list(process.folder.glob("*.lock"))) == 2


@pytest.mark.pure
def test_files_of_another_version_are_deleted_unless_its_processes_run(measured: MeasuredProcess) -> None:
    old, running = measured.folder.parent / "old", measured.folder.parent / "running"
    living = ProcessFiles(running)
    ProcessFiles(old).close()
    measured.begin_files()
    assert (old.exists(), running.exists()) == (False, True)
    living.close()


@pytest.mark.pure
def test_without_a_token_nothing_is_measured(tmp_path: Path) -> None:
    with override_settings(METRICS_TOKEN="", METRICS_FOLDER=str(tmp_path / "metrics")):
        process_metrics.start_measuring("web")
        count_request("shop", "update", "", 0.1)
        with running_attempt():
            pass
    assert process_metrics.measured_process() is None
    assert not (tmp_path / "metrics").exists()


@pytest.mark.pure
def test_no_help_text_is_stored_with_each_series(measured: MeasuredProcess) -> None:
    """The files would hold a quarter of what they can."""
    count_request("shop", "update", "target-timeout", 0.1)
    [family] = [
        one for one in read_families(measured.folder, lambda _: True) if one.name == "hub_request_failures"
    ]
    assert family.documentation == ""
    assert TOKEN not in expose("").body.decode()
