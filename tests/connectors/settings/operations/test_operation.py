"""What settings of operations are refused: unsafe templates, contradictions, and more than the limits."""

from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from connectors.registry import validate_connection
from connectors.settings.body_template import MAX_DEPTH, MAX_VALUES
from connectors.settings.operations.record_operations import MAX_UPDATES
from tests.support.http.connectors import make_operations

pytestmark = pytest.mark.pure


def refusal(settings: Any, **whole: Any) -> SettingsInvalid | None:
    """Return the refusal of the settings of one entity type; None if they are accepted."""
    try:
        validate_connection("rest-target", {"entities": {"USER": settings}, **whole}, {}, "https://a.test")
    except SettingsInvalid as invalid:
        return invalid
    return None


def given(name: str, **operation: Any) -> dict[str, Any]:
    return make_operations(**{name: operation})


def test_a_path_with_a_safe_placeholder_is_accepted() -> None:
    cases: list[str] = ["/c/{id}", "/c('{id}')", "/c('{id:odata}')", "/c/{id:base64url}/x:y"]
    for path in cases:
        assert refusal(given("get", path=path)) is None


QUOTED = [
    ("{field} eq '{value}'", False), ('{field} eq "{value}"', False), ('{field} eq "{value:quoted}"', False),
    ("{field} eq {value:odata}", False), ("{field} eq {value:json}", False), ("'{value:json}'", False),
    ('"{value:odata}"', False), ("a 'b\" {value}'", False), ("'a' '{value}", False), ("{id}", False),
    ("{value:shout}", False), ("{field} eq '{value:odata}'", True), ("x='{value:soql}'", True),
    ('[["{field:json}","=","{value:json}"]]', True), ("'it' {value}", True), ("{value:quoted}", True),
    ("'{value:base64url}' {value}", True), ('{"a": {"b": "{value:json}"}}', True),
]  # fmt: skip


def test_a_value_in_quotes_needs_a_style_and_a_style_its_quotes() -> None:
    for text, is_good in QUOTED:
        parts: dict[str, Any] = {
            "query": {"query": {"q": text}},
            "headers": {"query": {"v": "{value}"}, "headers": {"X-Filter": text}},
            "body": {"method": "POST", "body": {"q": {"template": text}, "v": {"expression": "value"}}},
        }
        for place, operation in parts.items():
            found = refusal(given("search", path="/c", fields=["email"], **operation))
            assert (found is None) is is_good, place


def test_depth_and_number_are_bounded() -> None:
    found = refusal(given("create", path="/c", body=[0] * (MAX_VALUES + 1)))
    assert found is not None
    assert found.pointer.endswith(f"/body/{MAX_VALUES - 1}")
    deep: Any = 1
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    assert refusal(given("create", path="/c", body=deep)) is not None
    updates = [{"path": "/c/{id}"}] * MAX_UPDATES
    assert refusal(make_operations(update=updates)) is None
    assert refusal(make_operations(update=[*updates, updates[0]])) is not None


def test_an_id_that_may_hold_a_quote_needs_a_style_in_quotes() -> None:
    assert refusal(given("get", path="/c('{id}')"), id_characters=" ") is None
    assert refusal(given("get", path="/c('{id}')"), id_characters="'") is not None
    assert refusal(given("get", path="/c('{id:odata}')"), id_characters="'") is None


FORMER = {
    "collection": ("/c", "operations.create"), "item": ("/c/{id}", "operations.get"),
    "record": ("customer", "operations.get"), "wrap": ("customer", "operations.create"),
    "search": ({"path": "/c", "query": {"q": "{value}"}}, "operations.search"),
    "list": ({"path": "/c"}, "operations.list"), "create": ({"method": "PUT"}, "operations.create"),
    "update": ({"method": "PUT"}, "operations.update"), "delete": ({"method": "POST"}, "operations.delete"),
}  # fmt: skip


def test_a_short_setting_is_refused_with_the_operation_to_write() -> None:
    for name, (value, operation) in FORMER.items():
        found = refusal({**make_operations(), name: value})
        assert found is not None
        assert found.pointer == f"/settings/entities/USER/{name}"
        assert f"`{operation}`" in str(found.sentence)
