"""Audit log exports of the test's database, and their verification by both verifiers."""

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from audit.export import verify
from audit.export.bundle import CheckpointAnchor, ExportBundle, ManifestFacts, measure_file
from audit.export.bundle_source import load_anchor, load_bodies, load_segments
from audit.export.verify import ExportCheck
from audit.format.signed_records import Record, format_time
from audit.models import Entry
from audit.sealing.checkpoints import make_checkpoint
from audit.sealing.record_rows import checkpoint_record
from audit.sealing.segment_index import SegmentIndex, load_segment_leaves
from audit.sealing.signing_keys import load_current_key
from tests.support.audit.entries import CIPHER, START
from tests.support.audit.second_verifier import find_export_faults

VERIFIER = Path(verify.__file__)


def take_checkpoint(at: datetime = START) -> Record:
    """Return a new checkpoint of all sealed segments."""
    checkpoint = make_checkpoint(CIPHER, at)
    assert checkpoint is not None
    return checkpoint_record(checkpoint)


def export_whole(folder: Path, first: int = 1, last: int = 0, earlier: Sequence[int] = ()) -> Record:
    """Export the segments from `first` to `last` (0: to the newest one). Returns the manifest."""
    anchor = load_anchor(take_checkpoint(), earlier)
    last = last or anchor.checkpoint["count"]
    bundle = begin_bundle(folder, anchor)
    return finish_bundle(bundle, bundle.write_segments(load_segments(first, last), load_bodies(first, last)))


def export_filtered(folder: Path, streams: Sequence[str] = (), earlier: Sequence[int] = ()) -> Record:
    """Export these streams, or every second stream if none is given. Returns the manifest."""
    anchor = load_anchor(take_checkpoint(), earlier)
    places = SegmentIndex(anchor.checkpoint["count"])
    all_streams = sorted(set(Entry.objects.values_list("stream", flat=True)))
    bundle = begin_bundle(folder, anchor)
    return finish_bundle(
        bundle,
        bundle.write_streams(
            places.entries_by_stream(streams or all_streams[::2]),
            load_segment_leaves,
        ),
    )


def begin_bundle(folder: Path, anchor: CheckpointAnchor) -> ExportBundle:
    folder.mkdir(parents=True)
    shutil.copy(VERIFIER, folder / "verify.py")
    (folder / "README.txt").write_text("Run verify.py.\n")
    return ExportBundle(folder, anchor)


def finish_bundle(bundle: ExportBundle, contents: Record, keys: Sequence[Record] = ()) -> Record:
    signing = load_current_key(CIPHER, START)
    facts = ManifestFacts({"words": "a test"}, "person:1", format_time(signing.valid_from), {"at": "now"})
    more = {name: measure_file(bundle.folder / name) for name in ("verify.py", "README.txt")}
    return bundle.write_manifest(contents, facts, signing.sign_record, more, keys)


def verify_with_both(folder: Path, outside: bytes | None = None) -> tuple[list[str], list[str]]:
    """Return the faults that the shipped verifier and the second one find in an export."""
    return ExportCheck(str(folder)).run_checks(outside), find_export_faults(folder, outside)
