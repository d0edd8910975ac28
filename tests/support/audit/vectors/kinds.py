"""The published test vectors by name: which export, which fault in it, which outside checkpoint."""

from dataclasses import dataclass
from pathlib import Path

from tests.support.audit.log_state import LogState
from tests.support.audit.vectors import faults
from tests.support.audit.vectors.bundles import (
    PRUNED,
    log_in_another_order,
    log_with_a_late_segment,
    log_with_an_empty_segment,
    log_with_an_erasure,
    log_with_odd_characters,
    older_log,
    pruned_log,
    small_log,
    write_filtered,
    write_whole,
)
from tests.support.audit.vectors.faults import Change, unsigned


@dataclass(frozen=True, slots=True)
class GoodVector:
    """A correct export. `checkpoint`: the number of segments of the outside checkpoint, 0 for none."""

    about: str
    checkpoint: int = 0


@dataclass(frozen=True, slots=True)
class BadVector:
    """A good export with a fault. `code`: empty if the program cannot begin. `steps`: what the one who runs it makes, because an archive may not hold it."""

    base: str
    code: str
    about: str
    change: Change | None = None
    checkpoint: str = ""
    steps: tuple[tuple[str, ...], ...] = ()


GOOD = {
    "whole": GoodVector("all five segments of a log"),
    "whole-with-checkpoint": GoodVector("the same, with an outside checkpoint of all five segments", 5),
    "whole-with-older-checkpoint": GoodVector("the same, with an outside checkpoint of three segments", 3),
    "whole-one-segment": GoodVector("segment 4 alone"),
    "whole-part": GoodVector("segments 2 to 4, with an outside checkpoint of three", 3),
    "whole-to-the-end": GoodVector("segments 2 to 5"),
    "whole-empty-segment": GoodVector("five segments, of which the third has no entry"),
    "whole-older": GoodVector("an export from the time when the log had three segments"),
    "whole-no-segment": GoodVector("a range without any segment"),
    "whole-pruned": GoodVector("segments 3 to 5; the entries of 1 and 2 were deleted, as segment 5 says"),
    "whole-erased": GoodVector("a log with the entry of an erasure"),
    "whole-any-order": GoodVector("two entries stand before the ones that they continue"),
    "whole-late": GoodVector("`late` of a segment is true"),
    "whole-characters": GoodVector("an entry with U+007F, U+2028 and a surrogate pair"),
    "filtered": GoodVector("all streams"),
    "filtered-one-stream": GoodVector("one stream"),
    "filtered-empty": GoodVector("no stream: nothing matched the filter"),
    "filtered-with-consistency": GoodVector("all streams, with an outside checkpoint of three segments", 3),
    "filtered-pruned": GoodVector("streams whose first entries were deleted"),
    "filtered-erased": GoodVector("the stream of an erasure"),
}


def log_of(name: str) -> LogState:
    """Return the log that a vector is of."""
    if "pruned" in name:
        return pruned_log()
    if "erased" in name:
        return log_with_an_erasure()
    if name == "whole-older":
        return older_log()
    logs = {
        "whole-empty-segment": log_with_an_empty_segment,
        "whole-any-order": log_in_another_order,
        "whole-late": log_with_a_late_segment,
        "whole-characters": log_with_odd_characters,
    }
    return logs.get(name, small_log)()


def write_good(name: str, folder: Path) -> None:
    """Write one of the correct exports."""
    state = log_of(name)
    parts = {
        "whole-one-segment": (4, 4),
        "whole-part": (2, 4),
        "whole-to-the-end": (2, 5),
        "whole-pruned": (PRUNED + 1, 5),
        "whole-no-segment": (6, 5),
    }
    streams = {
        "filtered-one-stream": ["setting:signing-key"],
        "filtered-empty": [],
        "filtered-erased": ["erasure:01M8HBWWN5EB4B3QKPYQ1Q4WCZ"],
    }
    pruned = PRUNED if "pruned" in name else 0
    if name.startswith("whole"):
        write_whole(folder, state, *parts.get(name, (1, 5)), pruned=pruned)
    else:
        earlier = (2, 3, 4) if name.endswith("consistency") else ()
        write_filtered(folder, state, streams.get(name), earlier=earlier, pruned=pruned)


def _bad(
    base: str,
    code: str,
    about: str,
    change: Change | None = None,
    checkpoint: str = "",
    *steps: tuple[str, ...],
) -> BadVector:
    return BadVector(base, code, about, change, checkpoint, steps)


BAD = {
    # Files
    "changed-file": _bad(
        "whole",
        "file-differs",
        "an entry changed; the manifest was left as it was",
        unsigned(faults.change_body),
    ),
    "missing-file": _bad(
        "whole",
        "file-missing",
        "keys.json is missing; the manifest was left",
        unsigned(faults.remove("keys.json")),
    ),
    "missing-manifest": _bad(
        "whole", "unreadable", "there is no manifest", unsigned(faults.remove("manifest.json"))
    ),
    "unlisted-file": _bad(
        "whole", "file-unlisted", "a file that the manifest does not list", unsigned(faults.add_file)
    ),
    "sums-without-a-file": _bad(
        "whole", "sums-differ", "SHA256SUMS leaves keys.json out", faults.leave_out_of_sums
    ),
    "sums-with-another-line": _bad(
        "whole", "sums-differ", "SHA256SUMS has a line that is no hash and name", faults.add_to_sums
    ),
    "wrong-size": _bad(
        "whole",
        "file-differs",
        "the manifest gives another size of a file, with its hash",
        faults.change_size,
    ),
    "linked-file": _bad(
        "whole",
        "special-file",
        "keys.json is a link to a copy outside of the folder",
        None,
        "",
        ("link-file", "keys.json"),
    ),
    "linked-folder": _bad(
        "whole", "special-file", "a link to an empty folder", None, "", ("link-folder", "more")
    ),
    "pipe": _bad("whole", "special-file", "a named pipe", None, "", ("make-pipe", "notes.txt")),
    # The text of JSON
    "white-space": _bad(
        "whole",
        "unreadable",
        "a space in the manifest",
        faults.rewrite_manifest(lambda text: text.replace(b'":', b'": ', 1)),
    ),
    "order-of-fields": _bad(
        "whole",
        "unreadable",
        "`v` is the first field of the manifest",
        faults.rewrite_manifest(lambda text: b'{"v":1,' + text[1:].replace(b',"v":1}', b"}")),
    ),
    "duplicate-field": _bad(
        "whole",
        "unreadable",
        "the manifest has `v` twice",
        faults.rewrite_manifest(lambda text: text.replace(b',"v":1}', b',"v":1,"v":1}')),
    ),
    "no-line-feed": _bad(
        "whole",
        "unreadable",
        "the manifest does not end with a line feed",
        faults.rewrite_manifest(lambda text: text[:-1]),
    ),
    "true-for-1": _bad(
        "whole",
        "unreadable",
        "`v` of keys.json is true",
        faults.replace("keys.json", b'"v":1}\n', b'"v":true}\n'),
    ),
    "decimal-for-1": _bad(
        "whole",
        "unreadable",
        "`v` of keys.json is 1.0",
        faults.replace("keys.json", b'"v":1}\n', b'"v":1.0}\n'),
    ),
    "large-number": _bad(
        "whole",
        "unreadable",
        "a number of 2^53 in an entry",
        faults.replace("entries.jsonl", b'"stream_seq":1,', b'"stream_seq":9007199254740992,'),
    ),
    "long-escape": _bad(
        "whole",
        "unreadable",
        "a letter of an entry is escaped",
        faults.replace("entries.jsonl", b"system", b"\\u0073ystem"),
    ),
    "not-ascii": _bad(
        "whole",
        "unreadable",
        "a letter in UTF-8 in an entry",
        faults.replace("entries.jsonl", b"system", "sÿstem".encode()),
    ),
    "upper-case": _bad(
        "whole",
        "unreadable",
        "a signature in upper case",
        lambda draft: draft.edit(
            "segments.jsonl", 4, signature=draft.lines("segments.jsonl")[4]["signature"].upper()
        ),
    ),
    "extra-field": _bad(
        "whole",
        "unreadable",
        "a field of a segment that no format has",
        faults.edit("segments.jsonl", 2, more=1),
    ),
    "wrong-version": _bad("whole", "unreadable", "a signed manifest of version 2", faults.set_manifest(v=2)),
    "truncated-line": _bad(
        "whole", "unreadable", "the last entry ends in the middle", faults.cut_bytes("entries.jsonl", 20)
    ),
    # Keys and signatures
    "signature-of-manifest": _bad(
        "whole",
        "signature-invalid",
        "`by` of the manifest changed",
        faults.rewrite_manifest(lambda text: text.replace(b"person:1", b"person:2")),
    ),
    "signature-of-segment": _bad(
        "whole",
        "signature-invalid",
        "a segment has the signature of another",
        lambda draft: draft.edit(
            "segments.jsonl", 1, signature=draft.lines("segments.jsonl")[0]["signature"]
        ),
    ),
    "signature-of-checkpoint": _bad(
        "whole",
        "signature-invalid",
        "the time of the checkpoint changed",
        faults.edit_checkpoint(signed=False, at="2026-03-05T00:00:00.000000Z"),
    ),
    "unknown-key": _bad(
        "whole",
        "key-unknown",
        "a segment names a key that is not there",
        faults.edit("segments.jsonl", 1, key="0" * 32),
    ),
    "stranger": _bad(
        "whole", "signature-invalid", "a segment is signed by a stranger's key", faults.sign_by_stranger
    ),
    "key-of-another-time": _bad(
        "whole", "key-not-valid", "a segment is signed by a key that began later", faults.resign_segment(2)
    ),
    "key-of-an-earlier-time": _bad(
        "whole",
        "key-not-valid",
        "a segment is signed by a key whose successor had begun",
        faults.resign_segment(0),
    ),
    "signature-with-high-scalar": _bad(
        "whole",
        "signature-invalid",
        "the second half of a signature is higher by the order of the group",
        faults.add_order_to_signature,
    ),
    "key-with-other-prev": _bad(
        "whole",
        "key-order",
        "`prev` of the third key is another id",
        faults.edit_keys(faults.resign_key(prev="1" * 32)),
    ),
    "key-of-other-version": _bad(
        "whole", "key-order", "`v` of the third key is 2", faults.edit_keys(faults.resign_key(v=2))
    ),
    "key-id": _bad(
        "whole",
        "key-id",
        "the id of the third key is not the hash of it",
        faults.edit_keys(faults.resign_key(key="1" * 32)),
    ),
    "key-signed-by-itself": _bad(
        "whole",
        "key-signature",
        "the second key is signed by itself",
        faults.edit_keys(faults.sign_key_by_itself),
    ),
    "key-before-its-time": _bad(
        "whole",
        "key-order",
        "the third key begins before the second",
        faults.edit_keys(faults.resign_key(**{"from": "2026-03-04T12:00:00.000000Z"})),
    ),
    "key-twice": _bad(
        "whole", "key-order", "the first key is also the third", faults.edit_keys(faults.repeat_first_key)
    ),
    "key-left-out": _bad(
        "whole", "key-order", "the first key is left out", faults.edit_keys(lambda draft, keys: keys.pop(0))
    ),
    # Entries of a whole range
    "changed-body": _bad("whole", "segment-root", "an entry changed", faults.change_body),
    "changed-leaf": _bad(
        "whole",
        "signature-invalid",
        "an entry changed, and the root of its segment with it",
        faults.change_leaf,
    ),
    "entries-reordered": _bad(
        "whole",
        "segment-root",
        "two entries of a segment swapped",
        faults.order("entries.jsonl", faults.swapped(1, 2)),
    ),
    "entry-missing": _bad(
        "whole",
        "entry-missing",
        "the last entry is left out",
        faults.order("entries.jsonl", lambda lines: lines[:-1]),
    ),
    "entry-doubled": _bad(
        "whole",
        "entry-count",
        "the last entry appears twice",
        faults.order("entries.jsonl", lambda lines: [*lines, lines[-1]]),
    ),
    "sequence-gap": _bad(
        "whole",
        "stream-chain",
        "an entry has the next but one number of its stream; all signed with all keys",
        faults.rewrite(faults.change_last_entry(stream_seq=None)),
    ),
    "wrong-prev-leaf": _bad(
        "whole",
        "stream-chain",
        "an entry continues another leaf; all signed with all keys",
        faults.rewrite(faults.change_last_entry(prev_leaf="55" * 32)),
    ),
    "stream-without-its-first": _bad(
        "whole",
        "stream-start",
        "a stream has lost its first entry; all signed with all keys",
        faults.rewrite(faults.delete_first_of_stream),
    ),
    "zero-hash-in-a-stream": _bad(
        "whole-to-the-end",
        "stream-start",
        "the first entry here of a stream is number 2 or more, and has a zero hash; all signed with all keys",
        faults.rewrite(faults.forget_the_entry_before, first=2),
    ),
    "entry-of-other-version": _bad(
        "whole",
        "unreadable",
        "`v` of an entry is 2; all signed with all keys",
        faults.rewrite(faults.change_last_entry(v=2)),
    ),
    "whole-with-streams": _bad(
        "whole",
        "entry-count",
        "the manifest of a whole export counts a stream",
        faults.set_manifest(streams=1),
    ),
    # Segments
    "segment-of-other-version": _bad(
        "whole", "segment-order", "`v` of a segment is 2", faults.resign_segment(None, v=2)
    ),
    "ids-not-shortest": _bad(
        "whole",
        "unreadable",
        "a difference in packed ids has a byte too many; all signed with all keys",
        faults.repack(lambda packed: packed[:-1] + bytes([packed[-1] | 128, 0])),
    ),
    "ids-not-ascending": _bad(
        "whole",
        "unreadable",
        "a difference in packed ids is 0; all signed with all keys",
        faults.repack(lambda packed: packed[:-1] + b"\0"),
    ),
    "frontier-too-long": _bad(
        "whole-part",
        "unreadable",
        "the frontier has a hash too many",
        faults.set_manifest(frontier=["11" * 32, "11" * 32]),
    ),
    "time-turned-back": _bad(
        "whole",
        "segment-order",
        "a segment is older than the one before it; all signed with all keys",
        faults.rewrite(faults.turn_time_back),
    ),
    "segment-missing": _bad(
        "whole",
        "segment-unanchored",
        "the third segment is left out",
        faults.order("segments.jsonl", lambda lines: lines[:2] + lines[3:]),
    ),
    "last-segment-missing": _bad(
        "whole",
        "segment-unanchored",
        "the last segment is left out",
        faults.order("segments.jsonl", lambda lines: lines[:-1]),
    ),
    "segments-swapped": _bad(
        "whole",
        "segment-unanchored",
        "the second and the third segment swapped",
        faults.order("segments.jsonl", faults.swapped(1, 2)),
    ),
    "segment-not-continued": _bad(
        "whole",
        "segment-chain",
        "a segment signed again, with another `late`",
        faults.resign_segment(None, late=True),
    ),
    "ids-changed": _bad(
        "whole", "segment-ids", "the packed ids are others", faults.edit("segments.jsonl", 4, packed="0a0101")
    ),
    "path-too-short": _bad(
        "whole-part",
        "segment-unanchored",
        "the path of a segment lacks its last hash",
        faults.shorten_path("segments.jsonl", lambda path: path.pop()),
    ),
    "path-too-long": _bad(
        "whole-part",
        "segment-unanchored",
        "the path of a segment has one hash more",
        faults.shorten_path("segments.jsonl", lambda path: path.append("00" * 32)),
    ),
    "wrong-frontier": _bad(
        "whole-part",
        "outside-differs",
        "the frontier is another one: only an outside checkpoint shows it",
        faults.set_manifest(frontier=["11" * 32]),
        "segments-2.json",
    ),
    "wrong-frontier-to-the-end": _bad(
        "whole-to-the-end",
        "checkpoint-root",
        "the frontier is another one, and the checkpoint of the export shows it",
        faults.set_manifest(frontier=["11" * 32]),
    ),
    "wrong-bounds": _bad(
        "whole", "segment-range", "the manifest says that segment 6 is the last", faults.set_manifest(last=6)
    ),
    "wrong-counts": _bad(
        "whole", "segment-count", "the manifest counts six segments", faults.set_manifest(segments=6)
    ),
    # Checkpoints
    "checkpoint-of-other-version": _bad(
        "whole", "unreadable", "`v` of the checkpoint is 2", faults.edit_checkpoint(signed=True, v=2)
    ),
    "checkpoint-head": _bad(
        "whole",
        "checkpoint-head",
        "the head of the checkpoint is another hash",
        faults.edit_checkpoint(signed=True, head="22" * 32),
    ),
    "checkpoint-root": _bad(
        "whole",
        "segment-unanchored",
        "the root of the checkpoint is another hash",
        faults.edit_checkpoint(signed=True, root="33" * 32),
    ),
    "outside-newer": _bad(
        "whole-older",
        "outside-newer",
        "an older export, or a log whose tail was cut, with a newer checkpoint",
        None,
        "segments-5.json",
    ),
    "outside-differs": _bad(
        "whole-erased",
        "outside-differs",
        "a log that was written again with all keys",
        None,
        "segments-5.json",
    ),
    "outside-incomparable": _bad(
        "filtered",
        "outside-incomparable",
        "a filtered export without a proof for this checkpoint",
        None,
        "segments-3.json",
    ),
    "outside-head": _bad(
        "whole",
        "checkpoint-head",
        "the head of the outside checkpoint is another hash",
        None,
        "wrong-head.json",
    ),
    "outside-older-head": _bad(
        "whole",
        "checkpoint-head",
        "the head of an older outside checkpoint is another hash",
        None,
        "wrong-older-head.json",
    ),
    "outside-newer-key": _bad(
        "whole",
        "key-unknown",
        "a newer outside checkpoint, signed by a key that began after the export: outside-newer follows",
        None,
        "newer-key.json",
    ),
    "outside-missing": _bad(
        "whole-no-segment", "", "the file of the outside checkpoint does not exist", None, "none.json"
    ),
    "outside-signature": _bad(
        "whole", "signature-invalid", "the outside checkpoint was changed", None, "wrong-signature.json"
    ),
    "outside-unreadable": _bad(
        "whole",
        "unreadable",
        "the outside checkpoint does not end with a line feed",
        None,
        "no-line-feed.json",
    ),
    # Streams of a filtered export
    "proof-index": _bad(
        "filtered", "proof-wrong", "the index of a proof is that of its neighbour", faults.move_index
    ),
    "proof-path": _bad(
        "filtered",
        "unreadable",
        "the path of a proof lacks a hash",
        faults.shorten_path("proofs.jsonl", lambda path: path.pop()),
    ),
    "filtered-changed-body": _bad("filtered", "proof-wrong", "an entry changed", faults.change_body),
    "filtered-reordered": _bad(
        "filtered",
        "stream-chain",
        "two entries swapped, with their proofs",
        lambda draft: (
            [draft.move_lines(name, faults.swapped(0, 1)) for name in ("entries.jsonl", "proofs.jsonl")]
            and None
        ),
    ),
    "stream-end": _bad(
        "filtered",
        "stream-end",
        "a stream ends with another leaf",
        faults.edit("streams.jsonl", 0, leaf="44" * 32),
    ),
    "stream-twice": _bad(
        "filtered",
        "stream-line",
        "a stream is listed twice",
        faults.order("streams.jsonl", lambda lines: [lines[0], *lines]),
    ),
    "stream-from-1": _bad(
        "filtered-pruned",
        "stream-line",
        "`from` of a stream is 1",
        faults.change_start(lambda line: line | {"from": 1}),
    ),
    "stream-before-its-start": _bad(
        "filtered-pruned",
        "stream-line",
        "`seq` of a stream is below its `from`",
        faults.change_start(lambda line: line | {"seq": line["from"] - 1}),
    ),
    "before-wrong": _bad(
        "filtered-pruned",
        "proof-wrong",
        "the path of a `before` has another hash",
        faults.change_start(
            lambda line: (
                line | {"before": line["before"] | {"path": ["00" * 32, *line["before"]["path"][1:]]}}
            )
        ),
    ),
    "filtered-entry-too-many": _bad(
        "filtered",
        "entry-count",
        "entries.jsonl has a line more",
        faults.order("entries.jsonl", lambda lines: [*lines, lines[-1]]),
    ),
    "filtered-stream-too-many": _bad(
        "filtered-one-stream",
        "entry-count",
        "the manifest counts a stream more",
        faults.set_manifest(streams=2),
    ),
    "filtered-frontier": _bad(
        "filtered-one-stream",
        "segment-range",
        "a filtered export has a frontier",
        faults.set_manifest(frontier=["11" * 32]),
    ),
    "stream-cut": _bad(
        "filtered",
        "entry-missing",
        "a stream has more entries than are there",
        lambda draft: draft.edit("streams.jsonl", -1, seq=draft.lines("streams.jsonl")[-1]["seq"] + 1),
    ),
    "segment-unused": _bad(
        "filtered", "segment-unused", "segments that no proof names", faults.add_unused_segment
    ),
    "consistency": _bad(
        "filtered-with-consistency",
        "consistency-wrong",
        "a consistency proof lacks a hash",
        lambda draft: draft.edit(
            "consistency.jsonl", 0, proof=draft.lines("consistency.jsonl")[0]["proof"][:-1]
        ),
    ),
    "consistency-old-root": _bad(
        "filtered-with-consistency",
        "consistency-wrong",
        "a consistency proof leads to the old root, but not to the new one",
        lambda draft: draft.edit(
            "consistency.jsonl", 1, proof=[*draft.lines("consistency.jsonl")[1]["proof"][:-1], "00" * 32]
        ),
    ),
    "consistency-new-root": _bad(
        "filtered-with-consistency",
        "consistency-wrong",
        "a consistency proof leads to the new root, but not to the old one",
        faults.edit("consistency.jsonl", 1, root="00" * 32),
    ),
    # Retention
    "pruning-unannounced": _bad(
        "whole-part",
        "pruning-unannounced",
        "no entry says that entries were deleted",
        faults.set_manifest(pruned=1),
    ),
    "pruning-start": _bad(
        "whole-pruned",
        "pruning-unannounced",
        "the manifest names another segment than the entry",
        faults.set_manifest(pruned=1),
    ),
    "pruning-too-much": _bad(
        "whole-pruned",
        "pruning-start",
        "the export begins after a later segment than the entry names",
        faults.rewrite(lambda state: None, first=PRUNED + 2, pruned=PRUNED),
    ),
    "pruning-hidden": _bad(
        "filtered-pruned",
        "stream-start",
        "the manifest does not say that entries were deleted",
        faults.set_manifest(pruned=None),
    ),
}
