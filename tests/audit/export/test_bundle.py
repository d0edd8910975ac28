"""Exports are verifiable: valid ones pass both verifiers, with outside checkpoints of any age within them."""

import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from audit.export.bundle_source import load_anchor, load_bodies, load_segments
from audit.sealing.checkpoints import checkpoint_bytes
from audit.sealing.record_rows import key_records
from audit.sealing.seal import rotate_signing_key, seal_entries
from tests.support.audit.entries import CIPHER, after_start, append_test_entries, write_history
from tests.support.audit.exports import (
    VERIFIER,
    begin_bundle,
    export_filtered,
    export_whole,
    finish_bundle,
    take_checkpoint,
    verify_with_both,
)

pytestmark = pytest.mark.concurrent

SEED = 20261127


def sealed_again(at: float) -> None:
    """Append and seal more history."""
    append_test_entries("event:1", "event:2", "event:later")
    seal_entries(CIPHER, after_start(at))


@pytest.mark.nightly
@pytest.mark.promise("I5")
def test_fifty_clean_exports_raise_no_alarm(database: None, tmp_path: Path) -> None:
    print("seed", SEED)
    generator, outside = Random(SEED), []
    write_history(generator, segments=6, most=5)
    for number in range(25):
        sealed_again(1000 + number)
        if number % 7 == 3:
            rotate_signing_key(CIPHER, after_start(1000 + number))
        outside.append(take_checkpoint())
        newest = outside[-1]["count"]
        first = generator.randint(1, newest)
        export_whole(tmp_path / f"whole{number}", first, generator.randint(first, newest))
        export_filtered(
            tmp_path / f"filtered{number}", earlier=[checkpoint["count"] for checkpoint in outside]
        )
        assert verify_with_both(tmp_path / f"whole{number}", checkpoint_bytes(outside[-1])) == ([], [])
        assert verify_with_both(
            tmp_path / f"filtered{number}", checkpoint_bytes(generator.choice(outside))
        ) == ([], [])


@pytest.mark.submission
def test_an_outside_checkpoint_of_any_time_within_a_whole_range_fits(database: None, tmp_path: Path) -> None:
    kept = []
    for number in range(9):
        sealed_again(number)
        kept.append(checkpoint_bytes(take_checkpoint()))
    export_whole(tmp_path / "all")
    export_whole(tmp_path / "middle", 4, 7)
    for number, file in enumerate(kept, start=1):
        assert verify_with_both(tmp_path / "all", file) == ([], [])
        first, second = verify_with_both(tmp_path / "middle", file)
        assert bool(first) == bool(second) == (number not in (3, 4, 5, 6, 7, 9, len(kept)))


def test_the_verifier_runs_with_python_alone(database: None, tmp_path: Path) -> None:
    write_history(Random(SEED))
    export_filtered(tmp_path / "export")
    kept = tmp_path / "kept.json"
    kept.write_bytes(checkpoint_bytes(take_checkpoint()))

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", str(tmp_path / "export" / "verify.py"), *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={}, check=False)

    result = run(tmp_path / "export", "--checkpoint", kept)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Verified ")
    assert "(filtered, segments 1 to 1" in result.stdout
    (tmp_path / "export" / "entries.jsonl").write_text("{}\n")
    result = run(tmp_path / "export")
    assert (result.returncode, result.stderr) == (1, "")
    assert "FAULT [file-differs] entries.jsonl: differs from the manifest" in result.stdout


def test_a_stream_whose_newest_entry_is_not_sealed_is_exported_up_to_it(
    database: None, tmp_path: Path
) -> None:
    append_test_entries("event:a", "event:b", "event:a")
    seal_entries(CIPHER, after_start(1))
    append_test_entries("event:a")
    manifest = export_filtered(tmp_path / "export", ["event:a"])
    assert manifest["entries"] == 2
    assert verify_with_both(tmp_path / "export") == ([], [])


@pytest.mark.submission
def test_a_key_that_begins_while_an_export_is_written_is_among_its_keys(
    database: None, tmp_path: Path
) -> None:
    write_history(Random(SEED))
    anchor = load_anchor(take_checkpoint())
    bundle = begin_bundle(tmp_path / "export", anchor)
    contents = bundle.write_segments(load_segments(1, 12), load_bodies(1, 12))
    rotate_signing_key(CIPHER, after_start(5000))
    finish_bundle(bundle, contents, key_records())
    assert verify_with_both(tmp_path / "export") == ([], [])


@pytest.mark.nightly
@pytest.mark.one_database
def test_a_hundred_thousand_entries_are_verified_within_a_minute(database: None, tmp_path: Path) -> None:
    """With a segment for every fifty, as a quiet hub seals them; promise I5."""
    for number in range(2_000):
        append_test_entries(*(f"event:{number * 25 + offset // 2}" for offset in range(50)))
        seal_entries(CIPHER, after_start(number))
    manifest = export_whole(tmp_path / "export")
    assert (manifest["entries"], manifest["segments"]) == (100_001, 2_000)
    begun = time.monotonic()
    command = [sys.executable, "-I", str(VERIFIER), str(tmp_path / "export")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    took = time.monotonic() - begun
    print(f"{took:.1f} s")
    assert took < 60
