"""A wrong path in an expression that reads a response is a failure that names the setting: never an empty list, which
would mean that there is no record.
"""

from typing import Any

import pytest

from connectors.contracts.errors import UnreadableResponse
from connectors.presets import load_preset
from tests.support.http.connectors import identity, read_list, shop, shop_settings
from tests.support.http.servers import Reply, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

ANNA = {"id": "7", "email": "anna@example.com"}
FOUND = {"data": {"items": [{"item": ANNA, "active": True}], "nothing": None}}
EMPTY = {"data": {"items": []}}
RIGHT = [
    "data.items[].item",
    "data.items[].item.{id: id, email: email}",
    "data.items[?active].item",
    "data.items[*].item | [?id]",
]
# A wrong name before the list, after it, and after a filter.
WRONG = [
    "data.itmes",
    "data.nothing",
    "data.itmes[].item",
    "data.items[].itemm",
    "data.items[].itemm.{id: id, email: email}",
    "data.items[?active].itemm",
    "data.items[*].itemm | [?id]",
    "data.items[].[item][].itemm",
]


def settings(result: str) -> dict[str, Any]:
    search = {"path": "/c", "query": {"{field}": "{value}"}, "fields": ["email"], "result": result}
    return shop_settings(search=search, list={"path": "/c", "result": result, "paging": "page"})


@pytest.mark.parametrize("result", WRONG)
def test_a_wrong_path_to_the_records_is_unreadable(result: str) -> None:
    with serving(lambda _: Reply(200, FOUND)) as service:
        target = shop(service.url, settings=settings(result))
        with pytest.raises(UnreadableResponse, match="/entities/USER/operations/search/result"):
            target.search_records("USER", "email", "anna@example.com")
        with pytest.raises(UnreadableResponse, match="/entities/USER/operations/list/result"):
            read_list(target)


def test_a_found_record_that_is_built_without_the_searched_field_is_unreadable() -> None:
    with serving(lambda _: Reply(200, FOUND)) as service:
        target = shop(service.url, settings=settings("data.items[].item.{id: id, emial: email}"))
        with pytest.raises(UnreadableResponse, match="search/result lack the field “email”"):
            target.search_records("USER", "email", "anna@example.com")


def test_the_check_of_a_connection_names_a_wrong_path() -> None:
    with serving(lambda _: Reply(200, FOUND)) as service:
        target = shop(service.url, settings=settings("data.items[].itemm"))
        with pytest.raises(UnreadableResponse, match="/entities/USER/operations/list/result"):
            target.read_sample()


@pytest.mark.parametrize("result", RIGHT)
def test_a_right_path_finds_the_records_or_none(result: str) -> None:
    replies = [FOUND, EMPTY]
    with serving(lambda _: Reply(200, replies.pop(0))) as service:
        target = shop(service.url, settings=settings(result))
        found = [target.search_records("USER", "email", "anna@example.com") for _ in range(2)]
    assert [[record.id for record in records] for records in found] == [["7"], []]


def test_a_filter_that_leaves_every_item_out_finds_nothing() -> None:
    with serving(lambda _: Reply(200, FOUND)) as service:
        target = shop(service.url, settings=settings("data.items[?!active].item"))
        assert target.search_records("USER", "email", "anna@example.com") == ()


def test_a_list_that_a_vendor_leaves_out_when_it_is_empty_needs_an_alternative() -> None:
    with serving(lambda _: Reply(200, {"total": 0})) as service:
        target = shop(service.url, settings=settings("users || `[]`"))
        assert target.search_records("USER", "email", "anna@example.com") == ()


def test_a_wrong_path_to_the_entities_is_unreadable() -> None:
    own = load_preset("sandbox-identity")["settings"]
    own["entities"]["USER"]["list"]["results"] = "resources[].itemm"
    with (
        serving(lambda _: Reply(200, {"resources": [ANNA]})) as service,
        pytest.raises(UnreadableResponse, match="/entities/USER/list/results"),
    ):
        read_list(identity(service.url, settings=own))


@pytest.mark.parametrize("more", [{"get": {"path": "/c/{id}", "result": "dta"}}, {"id": "idd"}])
def test_a_wrong_path_to_one_record_or_its_id_is_no_absence(more: dict[str, Any]) -> None:
    with serving(lambda _: Reply(200, ANNA)) as service:
        target = shop(service.url, settings=shop_settings(**more))
        with pytest.raises(UnreadableResponse):
            target.get_record("USER", "7")


@pytest.mark.parametrize("create", [{"created_id": "body.idd"}, {"result": "dta"}])
def test_a_wrong_path_to_a_created_record_is_no_success(create: dict[str, Any]) -> None:
    with serving(lambda _: Reply(200, ANNA)) as service:
        target = shop(service.url, settings=shop_settings(create={"path": "/c", **create}))
        with pytest.raises(UnreadableResponse) as failure:
            target.create_record("USER", {"email": "a@example.com"}, "k")
    assert failure.value.maybe_applied
