"""A log of plain values in the tables of the database."""

from audit.format.canonical_json import canonical_json
from audit.format.id_ranges import pack_ids
from audit.format.merkle_tree import TreeFrontier
from audit.models import Checkpoint, Entry, Segment, SigningKey
from tests.support.audit.log_state import LogState


def store_log(state: LogState) -> None:
    """Put a log into the tables, with all that follows from it in step."""
    _store_entries(state)
    _store_keys(state)
    tree, highest = TreeFrontier(), 0
    rows = []
    for segment in state.segments:
        record = segment.record
        nodes = b"".join(tree.add_leaf(segment.hash))
        highest = max([highest, *segment.ids])
        rows.append(
            Segment(
                number=record["number"], prev_hash=bytes.fromhex(record["prev"]), count=record["count"],
                ids=pack_ids(segment.ids), leaves=b"".join(segment.leaves), root=bytes.fromhex(record["root"]),
                sealed_at=record["sealed_at"], key_id=record["key"], is_late=record["late"],
                signature=bytes.fromhex(record["signature"]), hash=segment.hash, nodes=nodes, highest_id=highest,
            )
        )  # fmt: skip
    Segment.objects.bulk_create(rows)
    checkpoint = state.checkpoint
    Checkpoint.objects.create(
        count=checkpoint["count"], root=bytes.fromhex(checkpoint["root"]), head=bytes.fromhex(checkpoint["head"]), at=checkpoint["at"],
        key_id=checkpoint["key"], signature=bytes.fromhex(checkpoint["signature"]),
    )  # fmt: skip


def _store_entries(state: LogState) -> None:
    rows = []
    for entry in state.bodies:
        body = state.read_body(entry)
        row = Entry(
            pk=entry, stream=body["stream"], at=body["at"], action=body["action"], actor=body["actor"],
            details=canonical_json(body["details"]),
            stream_seq=body["stream_seq"], prev_leaf=bytes.fromhex(body["prev_leaf"]), leaf=state.leaves[entry],
        )  # fmt: skip
        rows.append(row)
    Entry.objects.bulk_create(rows)


def _store_keys(state: LogState) -> None:
    untils = [key["from"] for key in state.keys[1:]] + [None]
    SigningKey.objects.bulk_create(
        SigningKey(
            number=key["number"], key=key["key"], public=bytes.fromhex(key["public"]), valid_from=key["from"],
            valid_until=until, signature=bytes.fromhex(key["signature"]), private=None if until else b"sealed",
        )
        for key, until in zip(state.keys, untils, strict=True)
    )  # fmt: skip
