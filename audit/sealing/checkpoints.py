"""Checkpoints: a few hundred bytes that fix everything that was sealed until then."""

from datetime import datetime

from audit.format.canonical_json import canonical
from audit.format.merkle_tree import tree_root
from audit.format.signed_records import Record, time_text
from audit.models import Checkpoint
from audit.sealing.record_rows import checkpoint_record
from audit.sealing.seal_lock import turn
from audit.sealing.signing_keys import Box, current_signing
from audit.sealing.stored_tree import stored_tree
from audit.sealing.unsealed_entries import last_segment


def make_checkpoint(box: Box, at: datetime) -> Checkpoint | None:
    """The checkpoint of all segments that there are, made now unless it was already; None where nothing is sealed."""
    with turn(waits=True):
        last = last_segment()
        if last.number == 0:
            return None
        known = Checkpoint.objects.filter(count=last.number).first()
        if known is not None:
            return known
        signing = current_signing(box, at)
        moment = max(at, signing.begun_at)
        root = tree_root(stored_tree(), last.number)
        record = signing.record(
            "checkpoint",
            {
                "v": 1,
                "count": last.number,
                "root": root.hex(),
                "head": last.hash.hex(),
                "at": time_text(moment),
            },
        )
        return Checkpoint.objects.create(
            count=last.number,
            root=root,
            head=last.hash,
            at=moment,
            key_id=signing.key,
            signature=bytes.fromhex(record["signature"]),
        )


def checkpoint_file(record: Record) -> bytes:
    """The bytes that are told outside."""
    return canonical(record).encode() + b"\n"


def newest_checkpoint() -> Record | None:
    """The newest checkpoint that was made."""
    row = Checkpoint.objects.order_by("-count").first()
    return None if row is None else checkpoint_record(row)
