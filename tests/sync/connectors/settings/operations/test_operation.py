"""What settings of operations are refused: unsafe templates, contradictions, and more than the limits."""

from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from sync.connectors.registry import validate_connection
from sync.connectors.settings.body_template import MAX_DEPTH, MAX_VALUES
from sync.connectors.settings.operations.operation import MAX_UPDATES

pytestmark = pytest.mark.pure

SHORT = {"collection": "/c", "item": "/c/{id}"}


def refusal(settings: Any, **whole: Any) -> SettingsInvalid | None:
    """Return the refusal of the settings of one entity type; None if they are accepted."""
    try:
        validate_connection("rest-target", {"entities": {"USER": settings}, **whole}, {}, "https://a.test")
    except SettingsInvalid as invalid:
        return invalid
    return None


def given(name: str, **operation: Any) -> dict[str, Any]:
    return {**SHORT, "operations": {name: operation}}


@pytest.mark.parametrize(
    "path",
    [
        "c/{id}",
        "https://evil.test/{id}",
        "/c/../{id}",
        "/c//{id}",
        "/c/%2e%2e/{id}",
        "/c/{id}?all=1",
        "/c/{id}#x",
        "/c\\{id}",
        "/c/{id}\r\nX: 1",
        "/c/{other}",
        "/c/{value}",
        "/c/{id:shout}",
        "/c/{id:odata}",
        "/c('{id:json}')",
        "/c('{id:quoted}')",
    ],
)
def test_a_path_that_could_escape_its_segment_is_refused(path: str) -> None:
    found = refusal(given("get", path=path))
    assert found is not None
    assert found.pointer == "/settings/entities/USER/operations/get/path"


@pytest.mark.parametrize("path", ["/c/{id}", "/c('{id}')", "/c('{id:odata}')", "/c/{id:base64url}/x:y"])
def test_a_path_with_a_safe_placeholder_is_accepted(path: str) -> None:
    assert refusal(given("get", path=path)) is None


QUOTED = [
    ("{field} eq '{value}'", False), ('{field} eq "{value}"', False), ('{field} eq "{value:quoted}"', False),
    ("{field} eq {value:odata}", False), ("{field} eq {value:json}", False), ("'{value:json}'", False),
    ('"{value:odata}"', False), ("a 'b\" {value}'", False), ("'a' '{value}", False), ("{id}", False),
    ("{value:shout}", False), ("{field} eq '{value:odata}'", True), ("x='{value:soql}'", True),
    ('[["{field:json}","=","{value:json}"]]', True), ("'it' {value}", True), ("{value:quoted}", True),
    ("'{value:base64url}' {value}", True), ('{"a": {"b": "{value:json}"}}', True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "is_good"), QUOTED)
def test_a_value_in_quotes_needs_a_style_and_a_style_its_quotes(text: str, is_good: bool) -> None:
    parts: dict[str, Any] = {
        "query": {"query": {"q": text}},
        "headers": {"query": {"v": "{value}"}, "headers": {"X-Filter": text}},
        "body": {"method": "POST", "body": {"q": {"template": text}, "v": {"expression": "value"}}},
    }
    for place, operation in parts.items():
        found = refusal(given("search", path="/c", fields=["email"], **operation))
        assert (found is None) is is_good, place


def test_the_short_search_has_the_same_rule() -> None:
    assert refusal({**SHORT, "search": {"path": "/c", "query": {"q": "{field} eq '{value}'"}}}) is not None


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        (given("get", path="/c", method="DELETE"), "/method"),
        (given("create", path="/c", method="GET"), "/method"),
        (given("get", path="/c/{id}", body={"a": 1}), "/body"),
        (given("create", path="/c", encoding="none", body={"a": 1}), "/body"),
        (given("create", path="/c", encoding="xml"), "/encoding"),
        (given("create", path="/c", encoding="form", body=["a"]), "/body"),
        (given("create", path="/c", body="fields"), "/body"),
        (given("create", path="/c", body={"a": {"expression": "]"}}), "/body/a/expression"),
        (given("create", path="/c", body={"a": {"expression": "b", "optional": 1}}), "/body/a/optional"),
        (given("create", path="/c", body={"a": {"expression": "b", "when": "c["}}), "/body/a/when"),
        (given("create", path="/c", body={"a": {"template": 1}}), "/body/a/template"),
        (given("create", path="/c", body={"a": {"template": "{id}"}}), "/body"),
        (given("create", path="/c", body=[0] * (MAX_VALUES + 1)), f"/body/{MAX_VALUES - 1}"),
        (given("create", path="/c", headers={"Content-Length": "1"}), "/headers"),
        (given("create", path="/c", headers={"X-A": "a\r\nX-B: b"}), "/headers"),
        (given("create", path="/c", headers={"X-A": "{key}\n"}), "/headers"),
        (given("create", path="/c", headers={"X A": "1"}), "/headers"),
        (given("create", path="/c", values={"key": "id"}), "/values"),
        (given("create", path="/c", values={"Other": "id"}), "/values/Other"),
        (given("create", path="/c", query={"{key}": "x"}), "/query"),
        (given("create", path="/c", style="replace"), "/style"),
        (given("update", path="/c/{id}", style="body"), "/body"),
        (given("update", path="/c/{id}", style="scim-patch", encoding="form"), "/encoding"),
        (given("search", path="/c", query={"q": "x"}), ""),
        (given("search", path="/c", method="POST", body={"q": 1}), ""),
    ],
)
def test_a_contradiction_is_reported_at_its_place(settings: Any, pointer: str) -> None:
    found = refusal(settings)
    assert found is not None
    assert found.pointer.endswith(pointer), found.pointer


def test_depth_and_number_are_bounded() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    assert refusal(given("create", path="/c", body=deep)) is not None
    updates = [{"path": "/c/{id}"}] * MAX_UPDATES
    assert refusal({**SHORT, "operations": {"update": updates}}) is None
    assert refusal({**SHORT, "operations": {"update": [*updates, updates[0]]}}) is not None


@pytest.mark.parametrize("missing", ["get", "create", "update"])
def test_without_the_short_settings_three_operations_are_required(missing: str) -> None:
    operations = {"get": {"path": "/c/{id}"}, "create": {"path": "/c"}, "update": {"path": "/c/{id}"}}
    assert refusal({"operations": operations}) is None
    del operations[missing]
    found = refusal({"operations": operations})
    assert found is not None
    assert found.sentence == "This field is required."


@pytest.mark.parametrize("characters", ["%", "\n", "\x7f", "a" * 101, 5])
def test_a_character_that_ends_a_path_is_no_character_of_an_id(characters: Any) -> None:
    assert refusal(SHORT, id_characters=characters) is not None


def test_an_id_that_may_hold_a_quote_needs_a_style_in_quotes() -> None:
    assert refusal(given("get", path="/c('{id}')"), id_characters=" ") is None
    assert refusal(given("get", path="/c('{id}')"), id_characters="'") is not None
    assert refusal(given("get", path="/c('{id:odata}')"), id_characters="'") is None


VERSION = {"read": {"path": "version"}, "send": {"field": "version"}}


@pytest.mark.parametrize(
    ("update", "is_good"),
    [
        ({"path": "/c/{id}"}, True),
        ({"path": "/c/{id}", "style": "scim-patch"}, False),
        ({"path": "/c/{id}", "style": "body", "body": {"a": {"expression": "changed"}}}, False),
        ({"path": "/c/{id}", "style": "body", "body": {"v": {"expression": "version"}}}, True),
        ({"path": "/c/{id}", "body": {"a": {"expression": "changed"}}}, False),
        ({"path": "/c/{id}", "body": {"a": {"expression": "sent"}}}, True),
        ({"path": "/c/{id}", "encoding": "none"}, False),
        ({"path": "/c/{id}", "when": "changed.a"}, False),
    ],
)
def test_no_update_may_leave_out_the_version(update: dict[str, Any], is_good: bool) -> None:
    found = refusal({**SHORT, "version": VERSION, "operations": {"update": update}})
    assert (found is None) is is_good


@pytest.mark.parametrize(
    ("rule", "is_good"),
    [
        ({"status": 400, "means": "exists"}, True),
        ({"status": [400, "5xx"], "when": "body", "means": "refused"}, True),
        ({"status": 404, "when": "status == `404`", "means": "done"}, True),
        ({"status": 404, "means": "done"}, False),
        ({"status": 400, "means": "maybe"}, False),
        ({"status": 199, "means": "refused"}, False),
        ({"status": "6xx", "means": "refused"}, False),
        ({"status": [[400]], "means": "refused"}, False),
        ({"status": 400, "when": "]", "means": "refused"}, False),
    ],
)
def test_a_rule_on_answers_is_checked(rule: Any, is_good: bool) -> None:
    assert (refusal(SHORT, answers=[rule]) is None) is is_good
    assert (refusal(given("get", path="/c/{id}", answers=[rule])) is None) is is_good
