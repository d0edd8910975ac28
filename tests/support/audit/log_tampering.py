"""Fourteen kinds of tampering with a log, by somebody who may write to every table.

Whoever tampers keeps everything in step that needs no key: columns, hashes beside the rows, counts and roots. Each kind
changes a log and returns words of which at least one must stand in the fault's place.
"""

from collections.abc import Callable
from random import Random

from audit.format.canonical_json import canonical_json
from audit.format.hashes import leaf_hash
from audit.format.signed_records import load_signer, new_private_key, sign_record
from tests.support.audit.log_state import Segment, State

Tamper = Callable[[State, Random], set[str]]


def some_entry(state: State, generator: Random) -> int:
    """Any but those that say that a key began: what is wrong with these is told in other places too."""
    return generator.choice(
        [each for each in state.bodies if state.said(each)["stream"].startswith("event:")]
    )


def where(state: State, entry: int) -> set[str]:
    segment, _ = state.place_of(entry)
    said = state.said(entry)
    return {
        f"segment {segment.record['number']}",
        f"{said['stream']} at {said['stream_seq']}",
        f"stream {said['stream']}",
        f"entry {entry} ",
    }


def changed(state: State, entry: int) -> str:
    said = state.said(entry)
    return canonical_json(
        said | {"details": {**said["details"], "number": 1000 + said["details"].get("number", 0)}}
    )


def body(state: State, generator: Random) -> set[str]:
    """1: a body says something else."""
    entry = some_entry(state, generator)
    state.bodies[entry] = changed(state, entry)
    return where(state, entry)


def body_and_leaf(state: State, generator: Random) -> set[str]:
    """2: a body says something else, and its hash is in step."""
    entry = some_entry(state, generator)
    segment, place = state.place_of(entry)
    state.bodies[entry] = changed(state, entry)
    state.leaves[entry] = segment.leaves[place] = leaf_hash(state.bodies[entry])
    state.reseal(segment)
    return where(state, entry)


def deleted(state: State, generator: Random) -> set[str]:
    """3: an entry is gone."""
    entry = some_entry(state, generator)
    words = where(state, entry)
    del state.bodies[entry], state.leaves[entry]
    return words


def deleted_with_its_leaf(state: State, generator: Random) -> set[str]:
    """4: an entry is gone, and from its segment too."""
    entry = some_entry(state, generator)
    words = where(state, entry)
    segment, place = state.place_of(entry)
    del state.bodies[entry], state.leaves[entry], segment.ids[place], segment.leaves[place]
    state.reseal(segment)
    return words


def inserted(state: State, generator: Random) -> set[str]:
    """5: an entry that never was, at the end of its stream and in the midst of a segment."""
    segment = generator.choice(state.segments)
    model = some_entry(state, generator)
    ends = [
        state.said(each) for each in state.bodies if state.said(each)["stream"] == state.said(model)["stream"]
    ]
    end = max(ends, key=lambda said: said["stream_seq"])
    entry = max(state.bodies) + 1
    state.bodies[entry] = canonical_json(
        end | {"stream_seq": end["stream_seq"] + 1, "prev_leaf": leaf_hash(canonical_json(end)).hex()}
    )
    state.leaves[entry] = leaf_hash(state.bodies[entry])
    segment.ids.append(entry)
    segment.leaves.append(state.leaves[entry])
    state.reseal(segment)
    return where(state, entry)


def swapped(state: State, generator: Random) -> set[str]:
    """6: two entries have changed places."""
    first = some_entry(state, generator)
    second = generator.choice([each for each in state.bodies if state.bodies[each] != state.bodies[first]])
    words = where(state, first) | where(state, second)
    for rows in (state.bodies, state.leaves):
        rows[first], rows[second] = rows[second], rows[first]  # type: ignore[index]
    return words


def moved(state: State, generator: Random) -> set[str]:
    """7: an entry stands in another segment."""
    entry = some_entry(state, generator)
    words = where(state, entry)
    segment, place = state.place_of(entry)
    other = generator.choice([each for each in state.segments if each is not segment])
    leaf = segment.leaves.pop(place)
    segment.ids.remove(entry)
    other.ids = sorted([*other.ids, entry])
    other.leaves.insert(other.ids.index(entry), leaf)
    for each in (segment, other):
        state.reseal(each)
    return words | where(state, entry)


def newest_deleted(state: State, generator: Random) -> set[str]:
    """8: the newest segment is gone, with what it held and with the checkpoints that knew it."""
    return _cut(state, len(state.segments) - 1)


def cut_off(state: State, generator: Random) -> set[str]:
    """9: everything after a segment is gone."""
    return _cut(state, generator.randrange(1, len(state.segments) - 1))


def _cut(state: State, number: int) -> set[str]:
    for segment in state.segments[number:]:
        for entry in segment.ids:
            del state.bodies[entry], state.leaves[entry]
    del state.segments[number:]
    state.sign_checkpoint()
    return {"the outside checkpoint"}


def renumbered(state: State, generator: Random) -> set[str]:
    """10: from some segment on, or between two, the numbers are others."""
    place = generator.randrange(len(state.segments))
    if generator.random() < 0.5 or place == 0:
        for segment in state.segments[place:]:
            segment.record["number"] += 1
    else:
        first, second = state.segments[place - 1].record, state.segments[place].record
        first["number"], second["number"] = second["number"], first["number"]
        state.segments.sort(key=lambda each: each.record["number"])
    return {f"segment {number}" for number in range(place, place + 3)}


def signed_by_another_key(state: State, generator: Random) -> set[str]:
    """11: an entry says something else, and its segment is signed anew by a key of somebody's own."""
    words = body_and_leaf(state, generator)
    segment = _segment_of(state, words)
    segment.record = sign_record("segment", segment.record, load_signer(new_private_key()))
    return words


def signed_by_a_key_of_another_time(state: State, generator: Random) -> set[str]:
    """12: the same, by a key of the log that was valid at another time, and named as what it is."""
    words = body_and_leaf(state, generator)
    segment = _segment_of(state, words)
    right = state.key_at(segment.record["sealed_at"])
    wrong = generator.choice([each for each in range(len(state.keys)) if each != right])
    segment.record["key"] = state.keys[wrong]["key"]
    segment.record = sign_record("segment", segment.record, load_signer(state.secrets[wrong]))
    return words


def _segment_of(state: State, words: set[str]) -> Segment:
    return next(each for each in state.segments if f"segment {each.record['number']}" in words)


def rewritten(state: State, generator: Random) -> set[str]:
    """13: an entry says something else and everything after it is made anew, with all the right keys."""
    entry = some_entry(state, generator)
    state.bodies[entry] = changed(state, entry)
    state.rechain()
    return {"the outside checkpoint"}


def rewritten_with_the_newest_key(state: State, generator: Random) -> set[str]:
    """The same by who stole the key that signs now, and has none of those that were destroyed."""
    entry = some_entry(state, generator)
    state.bodies[entry] = changed(state, entry)
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
"""And 14, an export in which one entry is left out, is done where exports are written."""
