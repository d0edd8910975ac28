"""The part of an export that proves: audit entries as they are stored, with segments, checkpoint, keys and proofs.

It is bounded by the checkpoint, and nothing under a checkpoint changes: written anew by a later run, it comes out the
same.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.db.models import Max
from django.db.models.functions import TruncDate

from audit.checks.retention import STREAM as RETENTION
from audit.export.bundle import Bundle, Facts
from audit.export.bundle_source import anchor_of, whole_bodies, whole_segments
from audit.format.placement import Placed
from audit.format.signed_records import Record, time_text
from audit.models import Anchoring, Checkpoint, Stub
from audit.retention.prune_entries import declared
from audit.sealing.record_rows import checkpoint_record, key_records
from audit.sealing.seal_lock import turn
from audit.sealing.segment_index import Places, segment_leaves
from audit.sealing.signing_keys import current_signing
from database.clock import read_clock
from exports.bundle.event_selection import NotSealed
from exports.bundle.snapshot import snapshot
from exports.list_export import batches
from exports.models import Export
from sync.housekeeping.audit_upkeep import BOX

Beat = Callable[[], None]
_AT_ONCE = 500  # streams
_NEWEST = 200  # checkpoints; of the time before, the last of each day and those that went out by mail


def write_evidence(export: Export, beat: Beat, write: Beat) -> tuple[Bundle, Mapping[str, Any]]:
    """Everything but the manifest; with the manifest's members about it. `write`: as `snapshot` asks for it."""
    count = int(export.segments or 0)
    checkpoint = checkpoint_record(Checkpoint.objects.get(count=count))
    with snapshot(write):
        pruned = let_go_under(count)
        first = None if export.first_segment is None else max(export.first_segment, pruned + 1)
        bundle = Bundle(export.folder, anchor_of(checkpoint, earlier(first, count)))
        if first is not None:
            bodies = beating(whole_bodies(first, count), beat)
            shown = pruned if first == pruned + 1 else 0
            return bundle, bundle.whole(whole_segments(first, count), bodies, shown)
        places = Places(count)
        streams = _streams(export.folder, places, beat, [RETENTION] if pruned else [])
        return bundle, bundle.filtered(streams, segment_leaves, pruned, places.gone)


def let_go_under(count: int) -> int:
    """Up to which segment entries are kept no longer, as the first `count` segments say. `NotSealed` where more was
    deleted since."""
    said = declared(count)
    pruned = 0 if said is None else said.segment
    if Stub.objects.filter(segment__gt=pruned).exists():
        raise NotSealed("Old audit entries were deleted while this export was being made: ask for it again.")
    return pruned


def earlier(first: int | None, count: int) -> list[int]:
    """Counts of checkpoints from which the way to this one is proved: those that somebody may have kept. A whole export
    that has every segment from the `first` one of all on covers all of them by itself.
    """
    if first == 1:
        return []
    before = Checkpoint.objects.filter(count__lt=count)
    newest = before.order_by("-count").values_list("count", flat=True)[:_NEWEST]
    a_day = before.annotate(day=TruncDate("at")).values("day").annotate(last=Max("count"))
    mailed = Anchoring.objects.filter(outlet="email", checkpoint_id__lt=count)
    found = {*newest, *a_day.values_list("last", flat=True)}
    return sorted(found | set(mailed.values_list("checkpoint_id", flat=True)))


def beating(items: Iterator[Any], beat: Beat) -> Iterator[Any]:
    """The items; every thousandth says that we are alive."""
    for number, item in enumerate(items):
        if not number % 1_000:
            beat()
        yield item


def _streams(
    folder: Path, places: Places, beat: Beat, more: Sequence[str]
) -> Iterator[tuple[str, list[Placed]]]:
    """The streams of the events and deliveries that were written, and more, each as far as it is sealed and kept."""
    yield from places.streams(more)
    for name, stream in (("events", "event:{reference}"), ("deliveries", "delivery:{event}:{route}")):
        with (folder / f"{name}.jsonl").open("rb") as lines:
            for some in batches(lines, _AT_ONCE):
                beat()
                yield from places.streams([stream.format_map(json.loads(line)) for line in some])


def sign(
    bundle: Bundle, said: Mapping[str, Any], export: Export, snapshot: Mapping[str, Any], more: Any
) -> Record:
    """The manifest, signed by the key that is valid now; none can begin meanwhile."""
    with turn(waits=True):
        at = read_clock()
        signing = current_signing(BOX, at)
        facts = Facts(export.filter, export.actor, time_text(max(at, signing.begun_at)), snapshot)
        return bundle.finish(said, facts, signing.record, more, key_records())
