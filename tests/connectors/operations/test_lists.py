"""Lists of a target: the same page styles as those of an identity service."""

from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from connectors.contracts.errors import UnsafeRequest
from connectors.contracts.types import Access
from connectors.registry import validate_connection
from tests.support.http.connectors import MemoryRecorder, shop, shop_settings
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

PAGES: list[list[dict[str, str]]] = [[], [], [{"id": "8"}, {"id": "9"}], [{"id": "10"}]]
STYLES: list[dict[str, Any]] = [
    {"paging": "cursor", "cursor": "after", "next": "next", "count": "limit"},
    {"paging": "link", "count": None},
    {"paging": "next_url", "next": "next"},
]


def settings(style: dict[str, Any], **more: Any) -> dict[str, Any]:
    return shop_settings(list={"path": "/c", "result": "items", **style, **more})


def paged(style: str) -> Any:
    def answer(seen: SeenRequest) -> Reply:
        if seen.path != "/c":
            return Reply(200, {"id": seen.path.rpartition("/")[2]})
        values = {**seen.query, **(seen.json() if seen.body else {})}
        place = values.get("after") or values.get("p")
        number = int(place or 0)
        following = str(number + 1) if number + 1 < len(PAGES) else None
        address = f"/c?p={following}" if following else None
        body = {"items": PAGES[number], "next": following if style == "cursor" else address}
        return Reply(200, body, {"Link": f'<{address}>; rel="next"'} if address else {})

    return answer


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style["paging"])
def test_a_record_on_a_later_page_proves_that_others_can_be_read(
    style: dict[str, Any],
) -> None:
    with serving(paged(style["paging"])) as service:
        target = shop(service.url, settings=settings(style))
        assert target.check_access("USER", "7", []) is Access.GRANTED
        lists = [seen for seen in service.seen if seen.path == "/c"]
    assert len(lists) == 3, "two empty pages, and one with records"


@pytest.mark.parametrize(("style", "sent"), [("offset", "startIndex"), ("page", "page")])
def test_offset_and_page_end_at_an_empty_page(style: str, sent: str) -> None:
    with serving(lambda _: Reply(200, {"items": []})) as service:
        target = shop(service.url, settings=settings({"paging": style}))
        assert target.check_permission("USER", "list").answer == "granted"
        assert [sorted(seen.query) for seen in service.seen] == [sorted(["count", sent])]


def test_without_a_style_a_list_is_one_request_without_parameters() -> None:
    with serving(lambda _: Reply(200, {"items": [{"id": "7"}]})) as service:
        target = shop(service.url, settings=settings({}, query={"limit": "5"}))
        target.check_permission("USER", "list")
        assert [seen.target for seen in service.seen] == ["/c?limit=5"]


def test_the_page_is_selected_in_the_request_body() -> None:
    style = {
        "paging": "cursor",
        "next": "next",
        "method": "POST",
        "body": {"first": {"expression": "count"}, "after": {"expression": "cursor"}},
    }
    with serving(paged("cursor")) as service:
        target = shop(service.url, settings=settings(style))
        assert target.check_permission("USER", "list").answer == "granted"
        bodies = [seen.json() for seen in service.seen]
        assert {seen.target for seen in service.seen} == {"/c"}
    assert [body["after"] for body in bodies] == [None, "1", "2"]
    assert len({body["first"] for body in bodies}) == 1


def test_a_page_elsewhere_is_never_requested() -> None:
    notebook = MemoryRecorder()
    with serving(lambda _: Reply(200, {"items": [], "next": "//evil.test/c"})) as service:
        document = settings({"paging": "next_url", "next": "next"})
        with pytest.raises(UnsafeRequest):
            shop(service.url, notebook, settings=document).probe_system()
    assert all(one.url.startswith(service.url + "/c") for one in notebook.sent)


@pytest.mark.parametrize(
    ("get", "listed", "over", "is_valid"),
    [
        ("{id: id, name: name}", "items[].{id: id, name: name, more: more}", {}, True),
        ("{id: id, name: name}", "items[].{id: id}", {}, False),
        ("@", "items[].{id: id}", {}, False),
        ("data.customer.{id: id, name: name}", "data.edges[].node.{id: id}", {}, False),
        ("data.customer.{id: id}", "data.edges[].node.{id: id}", {}, True),
        ("@", "items", {}, True),
        ("{id: id, name: name}", "items[].{id: id}", {"whole_items": False}, True),
        ("{id: id, name: name}", "items[].{id: id}", {"complete": False}, True),
    ],
)
def test_a_complete_list_has_the_fields_that_get_reads(
    get: str, listed: str, over: dict[str, Any], is_valid: bool
) -> None:
    """What a list leaves out would differ in every comparison. A sample may leave out what it likes."""
    listing = {"path": "/c", "result": listed, "complete": True, **over}
    document = shop_settings(get={"path": "/c/{id}", "result": get}, list=listing)

    def validate() -> None:
        validate_connection("rest-target", document, {"scheme": "bearer"}, "https://a.test")

    if is_valid:
        validate()
        return
    with pytest.raises(SettingsInvalid) as refused:
        validate()
    assert refused.value.pointer == "/settings/entities/USER/operations/list/result"
