"""Functions that expressions know beside those of JMESPath."""

from typing import Any

import pytest
from jmespath.exceptions import JMESPathError

from config_schema.expressions.expression_functions import KNOWN_FUNCTIONS
from config_schema.expressions.jmespath_paths import (
    ExpressionRefused,
    UnknownFunction,
    compile_expression,
    functions_called,
)
from tests.support.rows import each_row

pytestmark = pytest.mark.pure

DOCUMENT = {
    "emails": [
        {"address": ""},
        {"address": "B@example.com", "verified": False},
        {"address": "a@example.com"},
    ],
    "addresses": ["x@example.com"],
    "labels": {"fi": "Ryhmä", "en": "Group"},
    "names": ["a", "b", "c"],
    "values": [1, 2],
    "text": " Ä ",
    "at": "2026-03-01T01:30:00+02:00",
    "number": 7,
    "json": '{"owner": "acme", "name": "ada", "tags": ["a"], "score": 1.5}',
    "path": "users/f8a1-22",
    "base64": "eyJpZCI6ICLDpCJ9",
}


@each_row(
    [
        ("first_email(addresses)", "x@example.com"),
        ("items(labels)[?key == 'en'].value | [0]", "Group"),
        (
            "zip(names, values)[*].{name: [0], value: [1]}",
            [{"name": "a", "value": 1}, {"name": "b", "value": 2}],
        ),
        ("difference(names, ['b', 'x'])", ["a", "c"]),
        (
            'difference(`[1, true, 2.0, null, {"a": [1]}, {"a": [true]}]`, `[1.0, 2, {"a": [1]}]`)',
            [True, None, {"a": [True]}],
        ),
        ('difference(`[0, false, "0"]`, `[false]`)', [0, "0"]),
        ("difference(emails[].address, addresses)", ["", "B@example.com", "a@example.com"]),
        ("difference(names, missing)", None),
        ("sha256('')", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("md5(number)", 7),
        ("lower(trim(text))", "ä"),
        ("date(at)", "2026-02-28"),
        ("date(at, 'date-time')", "2026-02-28T23:30:00Z"),
        ("date(at, 'milliseconds')", 1772321400000),
        ("date(`1772321400`)", "2026-02-28"),
        ("date(`1772321400123`, 'date-time')", "2026-02-28T23:30:00Z"),
        ("date(`99999999999`)", "5138-11-16"),
        ("date(`100000000000`)", "1973-03-03"),
        ("date('2026-02-28T10:00:00', 'date-time')", "2026-02-28T10:00:00Z"),
        ("date(missing)", None),
        ("from_json(from_base64(base64)).id", "ä"),
        ("from_base64('Pz8_')", "???"),
        ("split('', '/')", [""]),
        ("join('.', reverse(split(date(at), '-')))", "28.02.2026"),
        ("replace(replace(date(at, 'date-time'), 'T', ' '), 'Z', '')", "2026-02-28 23:30:00"),
    ]
)
def test_a_function_returns_the_documented_result(text: str, found: Any) -> None:
    assert compile_expression(text)(DOCUMENT) == found


@each_row(
    [
        "items(names)",
        "date(text)",
        "date(at, 'week')",
        "date(`1e999`)",
        "difference(names, text)",
        "from_json(number)",
        "from_json('{')",
        "from_json('1e999')",
        r"from_json('\"\\ud800\"')",
        f"from_json('{'[' * 33}{']' * 33}')",
        f"from_json('{'[' * 900}')",
        "from_base64('_-8')",
        "split(path, '')",
        "replace(path, '', 'x')",
    ]
)
def test_a_value_that_does_not_fit_is_an_error(text: str) -> None:
    with pytest.raises(JMESPathError):
        compile_expression(text)(DOCUMENT)


@each_row(["exec('ls')", "a[?linked('USER', id)]", "map(&nope(@), a)", "a | [_func_items(@)]"])
def test_an_unknown_function_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(UnknownFunction):
        compile_expression(text)


def test_a_function_may_be_known_to_some_expressions_only() -> None:
    assert compile_expression("linked('USER', id)", frozenset({"linked"}))
    with pytest.raises(ExpressionRefused):
        compile_expression("linked('USER', id)")


def test_the_functions_of_an_expression_are_listed() -> None:
    assert functions_called("a[?md5(@) == lower(b)] | [0:2]") == {"md5", "lower"}
    assert {"length", "items", "difference", "zip", "md5", "date"} < KNOWN_FUNCTIONS
