"""`manage.py verify_audit`: a complete log passes and its extent is reported; memory does not grow with entries."""

import time
import tracemalloc
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.models import Entry, Segment
from audit.sealing.checkpoints import checkpoint_bytes, make_checkpoint
from audit.sealing.record_rows import checkpoint_record
from audit.sealing.seal import rotate_signing_key, seal_entries
from audit.verification.check_database import verify_database
from database.clock import read_clock
from tests.support.audit.entries import CIPHER, START, after_start, append_test_entries, write_history
from tests.support.threads import in_threads

pytestmark = pytest.mark.concurrent

SEED = 20261126


def verify(*arguments: Any) -> str:
    out = StringIO()
    call_command("verify_audit", "--log-only", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_an_empty_log_is_whole(database: None) -> None:
    assert "segment 0 (0 entries" in verify()


def test_a_complete_log_passes_and_reports_how_far(database: None, tmp_path: Path) -> None:
    end = write_history(Random(SEED))
    outside = make_checkpoint(CIPHER, end)
    assert outside is not None
    file = tmp_path / "checkpoint.json"
    file.write_bytes(checkpoint_bytes(checkpoint_record(outside)))
    append_test_entries("event:new", "event:a", at=end)
    report = verify("--checkpoint", file)
    sealed = Entry.objects.count() - 2
    assert (
        f"Verified up to segment 12 ({sealed} entries, highest id {sealed}), sealed at 2026-03-04T12:12:12"
        in report
    )
    assert "2 entries are not sealed yet" in report
    assert "No outside checkpoint" not in report
    assert "No outside checkpoint was compared." in verify()


@pytest.mark.parametrize("seed", range(2))
def test_whole_logs_of_any_shape_pass(database: None, seed: int) -> None:
    generator = Random(f"{SEED} {seed}")
    end = write_history(generator, segments=generator.randint(3, 9), most=generator.randint(1, 9))
    make_checkpoint(CIPHER, end)
    report = verify_database()
    assert report.faults == ()
    assert (report.segments, report.unsealed) == (
        Segment.objects.count(),
        Entry.objects.count() - report.entries,
    )


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"count": 1}', None])
def test_a_file_that_is_no_checkpoint_is_refused(
    database: None, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "checkpoint.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CommandError, match=r"checkpoint\.json") as error:
        verify("--checkpoint", file)
    assert error.value.returncode == 2


@pytest.mark.nightly
def test_a_check_while_others_write_seal_and_rotate_keys_finds_no_fault(database: None) -> None:
    print("seed", SEED)
    until, checks = time.monotonic() + 1.2, list[int]()

    def is_over() -> bool:
        now = time.monotonic()
        return now >= until + 30 or (now >= until and len(checks) > 2)

    def busy(number: int) -> None:
        while not is_over():
            if number == 0:
                seal_entries(CIPHER, read_clock())
                make_checkpoint(CIPHER, read_clock())
            elif number == 1:
                rotate_signing_key(CIPHER, read_clock())
                time.sleep(0.05)
            elif number == 2:
                assert verify_database().faults == ()
                checks.append(1)
            else:
                append_test_entries(f"event:{number}", "event:0")

    in_threads(busy, 5)
    assert len(checks) > 2
    assert verify_database().faults == ()


@pytest.mark.nightly
def test_memory_does_not_grow_with_entries(database: None) -> None:
    peaks = []
    for more in (1_000, 9_000):
        for start in range(0, more, 500):
            append_test_entries(*(f"event:{start + number}" for number in range(500)))
            seal_entries(CIPHER, START)
        seal_entries(CIPHER, after_start(1))
        verify_database()
        tracemalloc.start()
        assert verify_database().faults == ()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1_000_000, peaks
