"""Exports of what stands in the test's database, and what both verifiers say of one."""

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
from tests.support.audit.entries import BOX, START
from tests.support.audit.second_verifier import faults_of

VERIFIER = Path(verify.__file__)


def checkpoint(at: datetime = START) -> Record:
    """A checkpoint of everything that is sealed now."""
    made = make_checkpoint(BOX, at)
    assert made is not None
    return checkpoint_record(made)


def export_whole(folder: Path, first: int = 1, last: int = 0, earlier: Sequence[int] = ()) -> Record:
    """An export of these segments, to the newest one unless said; its manifest."""
    anchor = load_anchor(checkpoint(), earlier)
    last = last or anchor.checkpoint["count"]
    bundle = begin(folder, anchor)
    return finish(bundle, bundle.write_segments(load_segments(first, last), load_bodies(first, last)))


def export_filtered(folder: Path, streams: Sequence[str] = (), earlier: Sequence[int] = ()) -> Record:
    """An export of these streams, of every second one unless said; its manifest."""
    anchor = load_anchor(checkpoint(), earlier)
    places = SegmentIndex(anchor.checkpoint["count"])
    known = sorted(set(Entry.objects.values_list("stream", flat=True)))
    bundle = begin(folder, anchor)
    return finish(
        bundle,
        bundle.write_streams(
            ((each, places.stream_entries(each)) for each in streams or known[::2]), load_segment_leaves
        ),
    )


def begin(folder: Path, anchor: CheckpointAnchor) -> ExportBundle:
    folder.mkdir(parents=True)
    shutil.copy(VERIFIER, folder / "verify.py")
    (folder / "README.txt").write_text("Run verify.py.\n")
    return ExportBundle(folder, anchor)


def finish(bundle: ExportBundle, said: Record, keys: Sequence[Record] = ()) -> Record:
    signing = load_current_key(BOX, START)
    facts = ManifestFacts({"words": "a test"}, "person:1", format_time(signing.valid_from), {"at": "now"})
    more = {name: measure_file(bundle.folder / name) for name in ("verify.py", "README.txt")}
    return bundle.write_manifest(said, facts, signing.sign_record, more, keys)


def both(folder: Path, outside: bytes | None = None) -> tuple[list[str], list[str]]:
    """The faults that the two verifiers find."""
    return ExportCheck(str(folder)).run_checks(outside), faults_of(folder, outside)
