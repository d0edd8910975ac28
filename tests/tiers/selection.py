"""Hooks that choose which collected tests run: rows of long tables, and tests that failed by chance."""

import collections
import hashlib
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

NIGHTLY = Path(__file__).parent.parent / "nightly.toml"
ROWS = 25
MAX_LISTED = 15


def listed_tests() -> list[dict[str, Any]]:
    """Return the tests that failed by chance, as nightly.toml lists them."""
    return list(tomllib.loads(NIGHTLY.read_text()).get("test", ()))


def mark_listed_tests(items: list[pytest.Item]) -> None:
    """Mark the tests of nightly.toml as `nightly`. A node id without a row means all rows."""
    listed = {row["id"] for row in listed_tests()}
    for item in items:
        if listed & {item.nodeid, item.nodeid.partition("[")[0]}:
            item.add_marker(pytest.mark.nightly)


def mark_later_rows(items: list[pytest.Item]) -> None:
    """Mark the rows after the first ones of a table with `submission_rows` as `submission`."""
    rows: collections.Counter[str] = collections.Counter()
    for item in items:
        if mark := item.get_closest_marker("submission_rows"):
            test = item.nodeid.partition("[")[0]
            rows[test] += 1
            if rows[test] > mark.args[0]:
                item.add_marker(pytest.mark.submission)


def left_out_rows(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return the rows of long tables that `make nightly` alone runs. With HUB_TEST_ROWS=all none is left out, and those
    rows are marked `nightly`.

    Which rows stay depends on their ids only, so that a row more or less changes nothing for the others.
    """
    tables: dict[str, list[pytest.Item]] = collections.defaultdict(list)
    for item in items:
        tables[item.nodeid.partition("[")[0]].append(item)
    long = (rows for rows in tables.values() if len(rows) > ROWS)
    left_out = {item for rows in long for item in sorted(rows, key=_rank)[ROWS:]}
    if os.environ.get("HUB_TEST_ROWS") != "all":
        return left_out
    for item in left_out:
        item.add_marker(pytest.mark.nightly)
    return set()


def _rank(item: pytest.Item) -> bytes:
    return hashlib.sha256(item.nodeid.encode()).digest()
