"""Page styles of lists: each yields every item once, ends, and never leaves the base URL."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from connectors.contracts.errors import (
    ConnectorError,
    CredentialsRefused,
    NotConfigured,
    UnreadableResponse,
    UnsafeRequest,
)
from connectors.contracts.types import IdentityConnector
from connectors.lists.next_address import find_next_link
from tests.support.http.connectors import MemoryRecorder, identity, read_list
from tests.support.http.servers import Answering, Reply, SeenRequest, Service, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

FIVE = [{"id": f"u{number}"} for number in range(5)]
IDS = [item["id"] for item in FIVE]


def settings(**over: Any) -> dict[str, Any]:
    listing = {"path": "/users", "size": 2, "results": "items", "count": "limit"} | over
    return {"entities": {"USER": {"path": "/users/{id}", "list": listing}}}


def connect(url: str, notebook: MemoryRecorder | None = None, **over: Any) -> IdentityConnector:
    return identity(url, notebook, settings=settings(**over), deadline=60.0)


def read_ids(url: str, **over: Any) -> list[str]:
    options = {name: over.pop(name) for name in ("max_pages",) if name in over}
    return [entity.id for entity in read_list(connect(url, **over), **options)]


def by_page(seen: SeenRequest) -> Reply:
    start = (int(seen.query["page"]) - 1) * int(seen.query["limit"])
    return Reply(200, {"items": FIVE[start : start + int(seen.query["limit"])], "total": 5})


def by_cursor(seen: SeenRequest) -> Reply:
    start = int(seen.query.get("after", "c0").removeprefix("c"))
    following = f"c{start + 2}" if start + 2 < 5 else ""
    return Reply(200, {"items": FIVE[start : start + 2], "paging": {"next": {"after": following}}})


def by_link(service_url: Callable[[], str]) -> Answering:
    def answer(seen: SeenRequest) -> Reply:
        start = int(seen.query.get("offset", "0"))
        links = [f'<{service_url()}/users?offset=0&limit=2>; rel="first"']
        if start + 2 < 5:
            links.append(f'</users?offset={start + 2}&limit=2>; title="a, b < c"; REL="prev next"')
        return Reply(200, {"items": FIVE[start : start + 2]}, {"Link": ", ".join(links)})

    return answer


def by_next_url(seen: SeenRequest) -> Reply:
    start = int(seen.path.rpartition("/")[2]) if seen.path != "/users" else 0
    following = f"/users/pages/{start + 2}" if start + 2 < 5 else None
    return Reply(200, {"items": FIVE[start : start + 2], "next": following})


def test_every_style_yields_each_item_once() -> None:
    place: list[Service] = []
    for answer, over in (
        (by_page, {"paging": "page", "total": "total"}),
        (by_page, {"paging": "page"}),
        (by_cursor, {"paging": "cursor", "cursor": "after", "next": "paging.next.after", "count": None}),
        (by_link(lambda: place[0].url), {"paging": "link"}),
        (by_next_url, {"paging": "next_url", "next": "next"}),
    ):
        with serving(answer) as service:
            place[:] = [service]
            assert read_ids(service.url, **over) == IDS, over
            assert read_ids(service.url, max_pages=1, **over) == IDS[:2], over


def test_a_list_by_post_sends_its_position_in_the_body() -> None:
    def search(seen: SeenRequest) -> Reply:
        body = seen.json()
        assert (seen.method, seen.target, seen.headers["prefer"]) == ("POST", "/.search", "minimal")
        assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]
        start = body["startIndex"] - 1
        return Reply(200, {"items": FIVE[start : start + body["count"]], "total": 5})

    over = {
        "method": "POST",
        "path": "/.search",
        "headers": {"Prefer": "minimal"},
        "body": {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "startIndex": {"expression": "start"},
            "count": {"expression": "count"},
        },
        "first": 1,
        "total": "total",
    }
    with serving(search) as service:
        assert read_ids(service.url, **over) == IDS


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/users?offset=2",
        "//evil.example/users",
        "http://user@HOST/api/users",
        "http://HOST.evil.example/api/users",
        "/other",
        "/api/../other",
        "/apiary/users",
        "/api/%2e%2e/other",
        "ftp://HOST/api/users",
        "http://HOST:x/api/users",
        "http://[bad/api/users",
        r"/api/\evil.example",
    ],
)
def test_an_address_that_is_not_below_the_base_url_is_never_requested(target: str) -> None:
    elsewhere: list[SeenRequest] = []

    def other(seen: SeenRequest) -> Reply:
        elsewhere.append(seen)
        return Reply(200, {"items": []})

    with serving(other) as evil:

        def answer(seen: SeenRequest) -> Reply:
            own = seen.headers["host"]
            given = target.replace("HOST", own).replace("evil.example", urlsplit(evil.url).netloc)
            return Reply(200, {"items": FIVE[:2], "next": given}, {"Link": f'<{given}>; rel="next"'})

        for over in ({"paging": "next_url", "next": "next"}, {"paging": "link"}):
            with serving(answer) as service:
                with pytest.raises(UnsafeRequest) as caught:
                    connect(f"{service.url}/api", **over).read_entity_page("USER", None)
                assert "evil" not in str(caught.value)
                assert len(service.seen) == 1
    assert elsewhere == []


def test_a_cursor_that_repeats_ends_the_list_with_an_error() -> None:
    with serving(lambda _: Reply(200, {"items": FIVE, "next": "again"})) as service:
        for over in ({"paging": "cursor", "next": "next"}, {"paging": "next_url", "next": "'/users/again'"}):
            with pytest.raises(UnreadableResponse, match="same next page again"):
                read_ids(service.url, **over)


@pytest.mark.parametrize("over", [{}, {"paging": "page"}, {"paging": "cursor", "next": "paging.next.after"}])
def test_a_page_without_content_is_the_last(over: dict[str, Any]) -> None:
    with serving(lambda _: Reply(204)) as service:
        assert read_ids(service.url, **over) == []
        assert len(service.seen) == 1


def test_an_endless_cursor_ends_after_the_allowed_pages() -> None:
    with serving(lambda _: Reply(200, {"items": [], "next": len(service.seen)})) as service:
        assert read_ids(service.url, paging="cursor", next="next", max_pages=7) == []
        assert len(service.seen) == 7


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("x" * 1_000_000, UnreadableResponse),
        ("/users?a=1&a=2", UnreadableResponse),
        ("/users?" + "&".join(f"a{number}=1" for number in range(60)), UnsafeRequest),
        ("/" + "/".join("abcdefghijklmn"), UnreadableResponse),
        ("/users/" + "x" * 200, UnsafeRequest),
    ],
)
def test_a_hostile_address_is_an_error(given: str, kind: type[ConnectorError]) -> None:
    with serving(lambda _: Reply(200, {"items": FIVE[:2], "next": given})) as service:
        connector = identity(
            service.url, settings=settings(paging="next_url", next="next"), byte_cap=2_000_000, deadline=60.0
        )
        with pytest.raises(kind) as caught:
            read_list(connector)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("given", [None, "", False])
def test_a_list_ends_where_no_next_page_is_named(given: Any) -> None:
    with serving(lambda _: Reply(200, {"items": FIVE[:2], "next": given})) as service:
        assert read_ids(service.url, paging="cursor", next="next") == IDS[:2]


@pytest.mark.parametrize("given", [{"after": 1}, ["a"], [], True])
def test_a_next_page_that_is_no_text_is_an_error(given: Any) -> None:
    """Holds that a wrong expression for the next page does not end the list: what follows would count as missing."""
    with serving(lambda _: Reply(200, {"items": FIVE[:2], "next": given})) as service:
        for style in ("cursor", "next_url"):
            with pytest.raises(UnreadableResponse, match="next page is neither a text nor a number"):
                read_ids(service.url, paging=style, next="next")


def test_no_value_of_an_address_is_in_a_path_template() -> None:
    notebook = MemoryRecorder()
    with serving(by_next_url) as service:
        read_list(connect(service.url, notebook, paging="next_url", next="next"))
    templates = [request.path_template for request in notebook.sent]
    assert templates == ["/users", "/users/{page_a}/{page_b}", "/users/{page_a}/{page_b}"]


def test_the_next_link_of_a_header() -> None:
    cases: list[tuple[str, str | None]] = [
        ("", None),
        ('<https://a.example/?page=2>; rel="next"', "https://a.example/?page=2"),
        ("</b>; rel=prev, </c>;rel=next", "/c"),
        ('</b>; title="x, <y>; rel=next", </c>; rel="next"', "/c"),
        ('</b>; rel="last"; rel="next"', None),
        ("</b>; rel=nextish", None),
        ("</b", None),
        ("<>; rel=next", ""),
        (", ".join(["</b>; rel=x"] * 60 + ["</c>; rel=next"]), None),
        ("<" * 20_000, None),
    ]
    for header, target in cases:
        assert find_next_link(header) == target


def test_a_list_can_be_limited_to_changed_items() -> None:
    since = datetime(2026, 11, 28, 12, 0, 0, 250_000, tzinfo=UTC)
    over = {"query": {"sort": "id"}, "total": "total"}
    with serving(lambda _: Reply(200, {"items": FIVE, "total": 5})) as service:
        for limit, query in (
            ({"query": {"updated_after": "{time}"}}, {"updated_after": "2026-11-28T12:00:00.250Z"}),
            ({"query": {"since": "{time}"}, "format": "seconds"}, {"since": "1795867200"}),
            (
                {"query": {"filter": 'changed gt "{time}"'}, "format": "milliseconds"},
                {"filter": 'changed gt "1795867200250"'},
            ),
        ):
            listed = connect(service.url, **over | {"modified_since": limit})
            read_list(listed, modified_since=since)
            assert query.items() <= service.seen[-1].query.items()
            read_list(listed)
            assert not query.keys() & service.seen[-1].query.keys()
        with pytest.raises(NotConfigured) as caught:
            read_list(connect(service.url, **over), modified_since=since)
        assert caught.value.fields[0].field == "/entities/USER/list/modified_since"


def test_rules_of_the_entity_hold_for_its_list() -> None:
    document = settings()
    document["entities"]["USER"]["answers"] = [{"when": "body.errors", "means": "credentials"}]
    with serving(lambda _: Reply(200, {"errors": [1]})) as service, pytest.raises(CredentialsRefused):
        read_list(identity(service.url, settings=document))
