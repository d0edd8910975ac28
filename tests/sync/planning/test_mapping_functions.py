"""Functions of `apply`, and what a mapping refuses when it is saved."""

from typing import Any

import pytest

from sync.planning.mapping import EntityNotMappable
from sync.planning.mapping_declaration import InvalidMapping, parse_mapping

pytestmark = pytest.mark.pure

EMAILS = [{"address": "New@example.com", "verified": False}, {"address": "old@example.com", "verified": True}]


def _map(rule: Any, entity: Any) -> Any:
    return parse_mapping({"fields": {"a": rule}}).map_entity(entity, {})["a"]


@pytest.mark.parametrize(
    ("function", "value", "made"),
    [
        ("first_email", EMAILS, "New@example.com"),
        ("md5", "a", "0cc175b9c0f1b6a831c399e269772661"),
        ("date", 0, "1970-01-01"),
        ("items", {"a": 1}, [{"key": "a", "value": 1}]),
        ("zip", [[1, 2], [3, 4]], [[1, 3], [2, 4]]),
    ],
)
def test_a_function_is_applied(function: str, value: Any, made: Any) -> None:
    assert _map({"path": "entity.v", "apply": [function]}, {"v": value}) == made


def test_functions_follow_each_other() -> None:
    rule = {"path": "entity.v", "apply": ["first_email", "trim", "lower", "md5"]}
    assert _map(rule, {"v": EMAILS}) == _map({"path": "md5('new@example.com')"}, {})


def test_a_value_that_a_function_cannot_read_stops_the_mapping() -> None:
    with pytest.raises(EntityNotMappable, match="does not fit"):
        _map({"path": "entity.v", "apply": ["date"]}, {"v": "yesterday"})


@pytest.mark.parametrize("name", ["first_email", "nope"])
def test_an_unverified_address_never_counts_as_verified(name: str) -> None:
    rules: list[Any] = [{"path": "entity.emails", "apply": [name]}, {"path": f"{name}(entity.emails)"}]
    for rule in rules:
        with pytest.raises(InvalidMapping, match=r"match\.verified\.new\.a"):
            parse_mapping({"fields": {"a": {"constant": 1}}, "match": {"verified": {"new": {"a": rule}}}})


def test_an_unknown_function_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidMapping, match="a.path: 'nope.*Known functions: abs"):
        _map({"path": "nope(entity)"}, {})
