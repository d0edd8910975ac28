"""Write the evidence of an export: audit entries as they are stored, with segments, checkpoint, keys and proofs.

The evidence ends at the checkpoint, and nothing under a checkpoint changes: a later run writes the same content.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.db.models import Max
from django.db.models.functions import TruncDate

from audit.checks.retention import PRUNING_STREAM as RETENTION
from audit.export.bundle import ExportBundle, ManifestFacts
from audit.export.bundle_source import load_anchor, load_bodies, load_segments
from audit.format.placement import PlacedEntry
from audit.format.signed_records import Record, format_time
from audit.models import Checkpoint, PublishedCheckpoint, Stub
from audit.retention.prune_entries import newest_announcement
from audit.sealing.record_rows import checkpoint_record, key_records
from audit.sealing.seal_lock import sealing_lock
from audit.sealing.segment_index import SegmentIndex, load_segment_leaves
from audit.sealing.signing_keys import load_current_key
from database.clock import read_clock
from exports.bundle.event_selection import NotSealed
from exports.bundle.snapshot import read_snapshot
from exports.list_export import split_into_batches
from exports.models import Export
from sync.housekeeping.audit_upkeep import CIPHER

Heartbeat = Callable[[], None]
_STREAM_BATCH = 500  # streams
# Of older checkpoints, only the last of each day and those that were sent by mail are proved.
_MAX_RECENT_CHECKPOINTS = 200


def write_evidence(
    export: Export, heartbeat: Heartbeat, commit_elsewhere: Heartbeat
) -> tuple[ExportBundle, Mapping[str, Any]]:
    """Write every file of the evidence except the manifest.

    `commit_elsewhere` is passed on to `read_snapshot`. Returns the bundle and the manifest's fields about the evidence.
    """
    count = int(export.segments or 0)
    checkpoint = checkpoint_record(Checkpoint.objects.get(count=count))
    with read_snapshot(commit_elsewhere):
        pruned = find_last_pruned_segment(count)
        # The entries of pruned segments no longer exist.
        first = None if export.first_segment is None else max(export.first_segment, pruned + 1)
        bundle = ExportBundle(export.folder, load_anchor(checkpoint, earlier_checkpoints(first, count)))
        if first is not None:
            bodies = with_heartbeat(load_bodies(first, count), heartbeat)
            # Pruned segments are stated only if the export would otherwise begin with one of them.
            stated = pruned if first == pruned + 1 else 0
            return bundle, bundle.write_segments(load_segments(first, count), bodies, stated)
        places = SegmentIndex(count)
        streams = _sealed_streams(export.folder, places, heartbeat, [RETENTION] if pruned else [])
        return bundle, bundle.write_streams(streams, load_segment_leaves, pruned, places.pruned_head)


def find_last_pruned_segment(count: int) -> int:
    """Return the number of the last segment whose entries were deleted, as the first `count` segments announce it; 0
    if none.

    Raises NotSealed if more entries were deleted since.
    """
    announcement = newest_announcement(count)
    pruned = 0 if announcement is None else announcement.segment
    if Stub.objects.filter(segment__gt=pruned).exists():
        raise NotSealed("Old audit entries were deleted while this export was running. Export again.")
    return pruned


def first_stored_segment(first: int, count: int) -> int:
    """Return the first segment of a whole export: `first`, or a later one if the entries of that were deleted.

    Raises NotSealed if entries were deleted that the first `count` segments do not announce.
    """
    return max(first, find_last_pruned_segment(count) + 1)


def earlier_checkpoints(first: int | None, count: int) -> list[int]:
    """Return the counts of earlier checkpoints from which the export proves consistency, in ascending order.

    These are the checkpoints that an outside party may hold. An export that has every segment from the `first`
    of all needs no such proof: it contains everything that an earlier checkpoint covers.
    """
    if first == 1:
        return []
    before = Checkpoint.objects.filter(count__lt=count)
    newest = before.order_by("-count").values_list("count", flat=True)[:_MAX_RECENT_CHECKPOINTS]
    last_of_day = before.annotate(day=TruncDate("at")).values("day").annotate(last=Max("count"))
    mailed = PublishedCheckpoint.objects.filter(channel="email", checkpoint_id__lt=count)
    counts = {*newest, *last_of_day.values_list("last", flat=True)}
    return sorted(counts | set(mailed.values_list("checkpoint_id", flat=True)))


def with_heartbeat(items: Iterator[Any], heartbeat: Heartbeat) -> Iterator[Any]:
    """Yield the items, and call `heartbeat` once every thousand."""
    for number, item in enumerate(items):
        if not number % 1_000:
            heartbeat()
        yield item


def _sealed_streams(
    folder: Path, places: SegmentIndex, heartbeat: Heartbeat, extra_streams: Sequence[str]
) -> Iterator[tuple[str, list[PlacedEntry]]]:
    """Yield the streams of the exported events and deliveries, and the extra ones, each as far as it is sealed and
    kept.
    """
    yield from places.entries_by_stream(extra_streams)
    for name, stream in (("events", "event:{reference}"), ("deliveries", "delivery:{event}:{route}")):
        with (folder / f"{name}.jsonl").open("rb") as lines:
            for batch in split_into_batches(lines, _STREAM_BATCH):
                heartbeat()
                yield from places.entries_by_stream([stream.format_map(json.loads(line)) for line in batch])


def sign_manifest(
    bundle: ExportBundle,
    evidence_facts: Mapping[str, Any],
    export: Export,
    snapshot: Mapping[str, Any],
    own_files: Any,
) -> Record:
    """Sign the manifest with the current signing key. No key rotation can begin meanwhile."""
    # The sealing lock keeps a key rotation out until the manifest is signed.
    with sealing_lock(waits=True):
        at = read_clock()
        signing = load_current_key(CIPHER, at)
        # The clocks of two machines differ: a signature must not be dated before its key.
        facts = ManifestFacts(export.filter, export.actor, format_time(max(at, signing.valid_from)), snapshot)
        # The keys are read again: one may have begun since the anchor was loaded, and it signs the manifest.
        return bundle.write_manifest(evidence_facts, facts, signing.sign_record, own_files, key_records())
