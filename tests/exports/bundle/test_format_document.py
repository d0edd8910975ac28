"""Section 6 of docs/audit-format.md: its digests and states of rows are those that the row checker computes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from exports.bundle.shipped.check_rows import DeliveryLog, keyed_row_digest, row_digest

pytestmark = pytest.mark.pure

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "audit-format.md").read_text("utf-8")
SECTION = TEXT.split("\n## 6 Rows\n")[1].split("\n## 7 ")[0]


def table_rows(after: str) -> list[list[str]]:
    """Return the cells of the first table after a text, without its heading."""
    lines = SECTION.split(after, 1)[1].split("\n|", 1)[1].split("\n\n", 1)[0].split("\n")
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_examples_of_digests_are_right() -> None:
    examples = table_rows("Examples; where a key is used")
    key = bytes.fromhex(re.findall(r"is `([0-9a-f]{32})`:", SECTION)[0])
    assert len(examples) == 7
    for name, text, value in examples:
        values = json.loads(text.strip("`"))
        is_keyed = "subject" in name or "record" in name
        digest = keyed_row_digest(key, *values) if is_keyed else row_digest(*values)
        assert f"`{digest}`" == value, name


DETAILS = {"attempt": "1", "number": 1, "cause": "webhook", "state": "dead", "code": "some-code"}
BEFORE = {"state": "held", "code": "earlier-code", "end": "2026-03-04T12:00:00.000000Z"}
AT = "2026-03-05T12:00:00.000000Z"


def expected_value(cell: str, column: str, details: dict[str, Any]) -> Any:
    """Return what a cell says of an entry without `became`, of a delivery that has an end."""
    cell = cell.rpartition(", else ")[2].partition(";")[0].strip("`")
    values = {"as before": BEFORE[column], "at": AT, "null": None}
    return details[cell.removeprefix("details.")] if cell.startswith("details.") else values.get(cell, cell)


def state_table() -> list[tuple[str, list[str]]]:
    """Return each action of the table with its cells."""
    return [
        (f"{first.split('.')[0].strip('`')}.{word}", [first, *cells])
        for first, *cells in table_rows("### Entries of the stream of a delivery")
        for word in re.findall(r"`(?:attempt|delivery)?\.([a-z_-]+)`", first)
    ]


def test_the_table_of_states_is_that_of_the_check() -> None:
    checked = set()
    for action, (first, state, code, end, _) in state_table():
        if first.startswith("all others"):
            continue
        details = DETAILS | ({"state": "retrying"} if "otherwise" in first else {})
        log = DeliveryLog([])
        log.set(BEFORE["state"], BEFORE["code"], BEFORE["end"])
        log.add_entry({"action": action, "at": AT, "details": details, "stream_seq": 2})
        expected = [
            expected_value(cell, column, details)
            for column, cell in (("state", state), ("code", code), ("end", end))
        ]
        assert [log.state, log.code, log.settled] == expected, action
        checked.add(action)
    assert len(checked) == 17


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["reopened"], "held"),
        (["reopened", "closed"], "held"),
        (["reopened", "reopened"], "pending"),
    ],
)
def test_a_recheck_keeps_the_state_as_documented(words: list[str], kept: str) -> None:
    log = DeliveryLog([])
    log.set(BEFORE["state"], BEFORE["code"], BEFORE["end"])
    for word in words:
        log.add_entry(
            {"action": f"delivery.{word}", "at": AT, "details": {"cause": "recheck"}, "stream_seq": 2}
        )
    assert log.before == kept
