"""Checkpoints: a few hundred bytes that fix everything that was sealed before."""

from datetime import datetime

from audit.format.canonical_json import canonical_json
from audit.format.merkle_tree import tree_root
from audit.format.signed_records import Record, format_time, has_valid_signature
from audit.models import Checkpoint
from audit.sealing.record_rows import checkpoint_record
from audit.sealing.seal_lock import sealing_lock
from audit.sealing.signed_segments import last_segment
from audit.sealing.signing_keys import SecretCipher, load_current_key
from audit.sealing.stored_tree import stored_tree
from audit.sealing.trusted_keys import public_half


def make_checkpoint(cipher: SecretCipher, at: datetime) -> Checkpoint | None:
    """Return the checkpoint of all segments, made now unless it exists. None if nothing is sealed."""
    # No segment and no key may begin between reading the tree and signing its root.
    with sealing_lock(waits=True):
        last = last_segment()
        if last.number == 0:
            return None
        existing = Checkpoint.objects.filter(count=last.number).first()
        if existing is not None:
            # A row that the hub did not sign takes its number. The next segment has another one.
            return existing if _is_signed(existing) else None
        signing = load_current_key(cipher, at)
        # The clock may have been set back since the key began: a signature must not predate its key.
        moment = max(at, signing.valid_from)
        root = tree_root(stored_tree(), last.number)
        record = signing.sign_record(
            "checkpoint",
            {
                "v": 1,
                "count": last.number,
                "root": root.hex(),
                "head": last.hash.hex(),
                "at": format_time(moment),
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


def _is_signed(checkpoint: Checkpoint) -> bool:
    public = public_half(checkpoint.key_id)
    return public is not None and has_valid_signature("checkpoint", checkpoint_record(checkpoint), public)


def checkpoint_bytes(record: Record) -> bytes:
    """Return the content of a checkpoint file."""
    return canonical_json(record).encode() + b"\n"
