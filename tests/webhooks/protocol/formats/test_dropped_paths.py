"""Values that are removed from a body: all paths in one pass over it."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.rows import each_row
from webhooks.protocol.formats.dropped_paths import DROPPED_PATHS, MAX_PATHS, drop_paths

pytestmark = pytest.mark.pure


class CountedList(list[Any]):
    """A list that counts how often it is read from its beginning to its end."""

    reads = 0

    def __iter__(self) -> Iterator[Any]:
        CountedList.reads += 1
        return super().__iter__()


def test_a_body_is_read_once_for_all_paths() -> None:
    CountedList.reads = 0
    body = CountedList({"items": CountedList([{"kept": 1}])} for _ in range(100))
    paths = [f"items[].secret{number}" for number in range(MAX_PATHS)]
    assert not drop_paths(body, DROPPED_PATHS.read(paths, ()))
    assert CountedList.reads == 101


@each_row([(paths,) for paths in itertools.permutations(["a.b.c", "a[].b", "a.d", "a.b.c.d", '"a"[].e[].f'])])
def test_the_order_of_the_paths_does_not_matter(paths: tuple[str, ...]) -> None:
    body = {"a": [{"b": {"c": 1}, "d": 2, "e": [{"f": 3, "g": 4}]}, {"b": 5}, [{"d": 6, "h": 7}]], "b": 8}
    assert drop_paths(body, DROPPED_PATHS.read(list(paths), ()))
    assert json.dumps(body) == json.dumps({"a": [{"e": [{"g": 4}]}, {}, [{"h": 7}]], "b": 8})


def test_a_path_through_another_kind_of_value_finds_nothing() -> None:
    for body in ({"a": "text"}, {"a": None}, ["a"], "a", 1, None, {"a": {"[]": {"b": 1}}}):
        before = json.dumps(body)
        assert not drop_paths(body, DROPPED_PATHS.read(["a[].b", "a.c"], ()))
        assert json.dumps(body) == before
