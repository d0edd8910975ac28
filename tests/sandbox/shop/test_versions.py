"""Conditional writes to the shop's records."""

from typing import Any

import pytest

from tests.sandbox.client import Client

pytestmark = pytest.mark.pure

ANNA = "/api/customers/4711"
CHANGE = {"first_name": "Annika"}


def test_a_record_has_an_entity_tag_that_each_write_changes(call_shop: Client) -> None:
    assert call_shop("GET", ANNA).headers["ETag"] == '"1"'
    assert call_shop("PATCH", ANNA, CHANGE).headers["ETag"] == '"2"'
    assert call_shop("GET", ANNA).headers["ETag"] == '"2"'
    assert call_shop("POST", "/api/customers", {"email": "new@example.com"}).headers["ETag"] == '"1"'
    assert "ETag" not in call_shop("GET", "/api/customers").headers


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"headers": {"If-Match": '"1"'}}, 412),
        ({"headers": {"If-Match": 'W/"2"'}}, 412),
        ({"headers": {"If-Match": '"1", "2"'}}, 200),
        ({"headers": {"If-Match": "*"}}, 200),
        ({"headers": {"If-Match": '"2"'}}, 200),
        ({"params": {"version": "1"}}, 409),
        ({"params": {"version": "2"}}, 200),
        ({"json": {"version": 1}}, 409),
        ({"json": {"version": 2}}, 200),
        ({"json": {"version": None}}, 200),
        ({}, 200),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_a_write_that_names_another_version_is_refused(
    call_shop: Client, method: str, more: dict[str, Any], status: int
) -> None:
    call_shop("PATCH", ANNA, {"last_name": "Aho"})
    body = None if method == "DELETE" else {"email": "anna@example.com"}
    if "json" in more:
        body = (body or {}) | more["json"]
    before = call_shop("GET", ANNA).json()
    answer = call_shop(method, ANNA, body, **{name: value for name, value in more.items() if name != "json"})
    assert answer.status_code == (204 if (method, status) == ("DELETE", 200) else status)
    if status != 200:
        assert answer.json()["message"] == "This record was changed since it was read."
        assert call_shop("GET", ANNA).json() == before
