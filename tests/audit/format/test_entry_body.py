"""The body that is assembled from columns is the canonical JSON of its fields."""

from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

import pytest

from audit.format.canonical_json import canonical_json
from audit.format.entry_body import entry_body
from audit.format.signed_records import format_time

SEED = 20261129
HOSTILE = ["", '"', "\\", '\\"', "\0", "\x1f", "\x7f", "\u2028", "ä", "😀", "\ud800", '","actor":"x']
TIMES = [
    datetime(2026, 11, 29, 5, 42, 19, tzinfo=UTC),
    datetime(2026, 11, 29, 5, 42, 19, 1, tzinfo=timezone(timedelta(hours=-11, minutes=-30))),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]


def test_a_body_is_the_canonical_text_of_its_fields() -> None:
    generator = Random(SEED)
    for _ in range(2_000):
        stream, action, actor, name = ("".join(generator.choices(HOSTILE, k=3)) for _ in range(4))
        at, seq, leaf = generator.choice(TIMES), generator.randrange(1, 2**53), generator.randbytes(32)
        details = {name: [seq, None, True, actor]}
        fields = {"stream": stream, "action": action, "actor": actor, "details": details, "stream_seq": seq}
        expected = canonical_json({"v": 1, "at": format_time(at), "prev_leaf": leaf.hex(), **fields})
        assert entry_body(stream, at, action, actor, canonical_json(details), seq, leaf) == expected


def test_details_are_copied_as_they_are() -> None:
    """No later encoder can change what was hashed."""
    body = entry_body("event:x", TIMES[0], "a", "b", '{ "z":1.50,"a":"ä"}', 1, memoryview(bytes(32)))
    assert '"details":{ "z":1.50,"a":"ä"},"prev_leaf":"' in body


@pytest.mark.parametrize(
    ("position", "value"),
    [
        *((0, None), (2, 1), (3, b"x")),
        *((5, value) for value in (None, "1", 1.0)),
        *((6, value) for value in (None, 32, "00" * 32)),
    ],
)
def test_a_value_of_another_type_is_refused(position: int, value: Any) -> None:
    columns: list[Any] = ["event:x", TIMES[0], "a", "b", "{}", 1, bytes(32)]
    columns[position] = value
    with pytest.raises((TypeError, ValueError)):
        entry_body(*columns)
