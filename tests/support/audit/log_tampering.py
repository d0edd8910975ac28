"""Fourteen kinds of tampering with an audit log, by an attacker who may write to every table.

The attacker keeps everything consistent that needs no private key: columns, stored hashes, counts and roots. Each kind
changes a log and returns words of which at least one must occur in the place of a reported fault.
"""

from collections.abc import Callable
from random import Random

from audit.format.canonical_json import canonical_json
from audit.format.hashes import leaf_hash
from audit.format.signed_records import load_signer, new_private_key, sign_record
from tests.support.audit.log_state import LogState, Segment

Tamper = Callable[[LogState, Random], set[str]]


def choose_entry(state: LogState, generator: Random) -> int:
    """Choose an entry, but none that begins a signing key: a fault in those is reported in other places too."""
    return generator.choice(
        [entry for entry in state.bodies if state.read_body(entry)["stream"].startswith("event:")]
    )


def possible_places(state: LogState, entry: int) -> set[str]:
    segment, _ = state.locate_entry(entry)
    body = state.read_body(entry)
    return {
        f"segment {segment.record['number']}",
        f"{body['stream']} at {body['stream_seq']}",
        f"stream {body['stream']}",
        f"entry {entry} ",
    }


def change_details(state: LogState, entry: int) -> str:
    body = state.read_body(entry)
    return canonical_json(
        body | {"details": {**body["details"], "number": 1000 + body["details"].get("number", 0)}}
    )


def body(state: LogState, generator: Random) -> set[str]:
    """1: change the body of an entry."""
    entry = choose_entry(state, generator)
    state.bodies[entry] = change_details(state, entry)
    return possible_places(state, entry)


def body_and_leaf(state: LogState, generator: Random) -> set[str]:
    """2: change the body of an entry and its stored hash."""
    entry = choose_entry(state, generator)
    segment, place = state.locate_entry(entry)
    state.bodies[entry] = change_details(state, entry)
    state.leaves[entry] = segment.leaves[place] = leaf_hash(state.bodies[entry])
    state.reseal(segment)
    return possible_places(state, entry)


def deleted(state: LogState, generator: Random) -> set[str]:
    """3: delete an entry."""
    entry = choose_entry(state, generator)
    words = possible_places(state, entry)
    del state.bodies[entry], state.leaves[entry]
    return words


def deleted_with_its_leaf(state: LogState, generator: Random) -> set[str]:
    """4: delete an entry from the table and from its segment."""
    entry = choose_entry(state, generator)
    words = possible_places(state, entry)
    segment, place = state.locate_entry(entry)
    del state.bodies[entry], state.leaves[entry], segment.ids[place], segment.leaves[place]
    state.reseal(segment)
    return words


def inserted(state: LogState, generator: Random) -> set[str]:
    """5: insert an invented entry at the end of its stream, in an existing segment."""
    segment = generator.choice(state.segments)
    model = choose_entry(state, generator)
    ends = [
        state.read_body(entry)
        for entry in state.bodies
        if state.read_body(entry)["stream"] == state.read_body(model)["stream"]
    ]
    end = max(ends, key=lambda body: body["stream_seq"])
    entry = max(state.bodies) + 1
    state.bodies[entry] = canonical_json(
        end | {"stream_seq": end["stream_seq"] + 1, "prev_leaf": leaf_hash(canonical_json(end)).hex()}
    )
    state.leaves[entry] = leaf_hash(state.bodies[entry])
    segment.ids.append(entry)
    segment.leaves.append(state.leaves[entry])
    state.reseal(segment)
    return possible_places(state, entry)


def swapped(state: LogState, generator: Random) -> set[str]:
    """6: swap two entries."""
    first = choose_entry(state, generator)
    second = generator.choice([entry for entry in state.bodies if state.bodies[entry] != state.bodies[first]])
    words = possible_places(state, first) | possible_places(state, second)
    for rows in (state.bodies, state.leaves):
        rows[first], rows[second] = rows[second], rows[first]  # type: ignore[index]
    return words


def moved(state: LogState, generator: Random) -> set[str]:
    """7: move an entry to another segment."""
    entry = choose_entry(state, generator)
    words = possible_places(state, entry)
    segment, place = state.locate_entry(entry)
    other = generator.choice([candidate for candidate in state.segments if candidate is not segment])
    leaf = segment.leaves.pop(place)
    segment.ids.remove(entry)
    other.ids = sorted([*other.ids, entry])
    other.leaves.insert(other.ids.index(entry), leaf)
    for altered in (segment, other):
        state.reseal(altered)
    return words | possible_places(state, entry)


def newest_deleted(state: LogState, generator: Random) -> set[str]:
    """8: delete the newest segment, its entries and the checkpoints that include it."""
    return _cut(state, len(state.segments) - 1)


def cut_off(state: LogState, generator: Random) -> set[str]:
    """9: delete everything after a segment."""
    return _cut(state, generator.randrange(1, len(state.segments) - 1))


def _cut(state: LogState, number: int) -> set[str]:
    for segment in state.segments[number:]:
        for entry in segment.ids:
            del state.bodies[entry], state.leaves[entry]
    del state.segments[number:]
    state.sign_checkpoint()
    return {"the outside checkpoint"}


def renumbered(state: LogState, generator: Random) -> set[str]:
    """10: renumber all segments from one on, or swap the numbers of two."""
    place = generator.randrange(len(state.segments))
    if generator.random() < 0.5 or place == 0:
        for segment in state.segments[place:]:
            segment.record["number"] += 1
    else:
        first, second = state.segments[place - 1].record, state.segments[place].record
        first["number"], second["number"] = second["number"], first["number"]
        state.segments.sort(key=lambda segment: segment.record["number"])
    return {f"segment {number}" for number in range(place, place + 3)}


def signed_by_another_key(state: LogState, generator: Random) -> set[str]:
    """11: change an entry and sign its segment with a key that is not of the log."""
    words = body_and_leaf(state, generator)
    segment = _segment_of(state, words)
    segment.record = sign_record("segment", segment.record, load_signer(new_private_key()))
    return words


def signed_by_a_key_of_another_time(state: LogState, generator: Random) -> set[str]:
    """12: change an entry and sign its segment with a key of the log that was valid at another time."""
    words = body_and_leaf(state, generator)
    segment = _segment_of(state, words)
    right = state.key_at(segment.record["sealed_at"])
    wrong = generator.choice([key for key in range(len(state.keys)) if key != right])
    segment.record["key"] = state.keys[wrong]["key"]
    segment.record = sign_record("segment", segment.record, load_signer(state.secrets[wrong]))
    return words


def _segment_of(state: LogState, words: set[str]) -> Segment:
    return next(segment for segment in state.segments if f"segment {segment.record['number']}" in words)


def rewritten(state: LogState, generator: Random) -> set[str]:
    """13: change an entry and recompute everything after it, with all the right keys."""
    entry = choose_entry(state, generator)
    state.bodies[entry] = change_details(state, entry)
    state.rechain()
    return {"the outside checkpoint"}


def rewritten_with_the_newest_key(state: LogState, generator: Random) -> set[str]:
    """Change an entry and recompute everything with the current key alone, as if the older keys were destroyed."""
    entry = choose_entry(state, generator)
    state.bodies[entry] = change_details(state, entry)
    state.rechain(stolen=len(state.keys) - 1)
    return {"segment 1"}


KINDS: list[Tamper] = [
    body,
    body_and_leaf,
    deleted,
    deleted_with_its_leaf,
    inserted,
    swapped,
    moved,
    newest_deleted,
    cut_off,
    renumbered,
    signed_by_another_key,
    signed_by_a_key_of_another_time,
    rewritten,
]
"""All kinds but 14, an export without one entry: see `left_out` of `log_state.write_whole_export`."""
