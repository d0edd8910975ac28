"""Exports of what stands in the test's database, and what both verifiers say of one."""

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from audit.export import verify
from audit.export.bundle import Anchor, Bundle, Facts, measure
from audit.export.bundle_source import anchor_of, whole_bodies, whole_segments
from audit.export.verify import Export
from audit.format.signed_records import Record, time_text
from audit.models import Entry
from audit.sealing.checkpoints import make_checkpoint
from audit.sealing.record_rows import checkpoint_record
from audit.sealing.segment_index import Places, segment_leaves
from audit.sealing.signing_keys import current_signing
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
    anchor = anchor_of(checkpoint(), earlier)
    last = last or anchor.checkpoint["count"]
    bundle = begin(folder, anchor)
    return finish(bundle, bundle.whole(whole_segments(first, last), whole_bodies(first, last)))


def export_filtered(folder: Path, streams: Sequence[str] = (), earlier: Sequence[int] = ()) -> Record:
    """An export of these streams, of every second one unless said; its manifest."""
    anchor = anchor_of(checkpoint(), earlier)
    places = Places(anchor.checkpoint["count"])
    known = sorted(set(Entry.objects.values_list("stream", flat=True)))
    bundle = begin(folder, anchor)
    return finish(
        bundle,
        bundle.filtered(((each, places.entries(each)) for each in streams or known[::2]), segment_leaves),
    )


def begin(folder: Path, anchor: Anchor) -> Bundle:
    folder.mkdir(parents=True)
    shutil.copy(VERIFIER, folder / "verify.py")
    (folder / "README.txt").write_text("Run verify.py.\n")
    return Bundle(folder, anchor)


def finish(bundle: Bundle, said: Record, keys: Sequence[Record] = ()) -> Record:
    signing = current_signing(BOX, START)
    facts = Facts({"words": "a test"}, "person:1", time_text(signing.begun_at), {"at": "now"})
    more = {name: measure(bundle.folder / name) for name in ("verify.py", "README.txt")}
    return bundle.finish(said, facts, signing.record, more, keys)


def both(folder: Path, outside: bytes | None = None) -> tuple[list[str], list[str]]:
    """The faults that the two verifiers find."""
    return Export(str(folder)).check(outside), faults_of(folder, outside)
