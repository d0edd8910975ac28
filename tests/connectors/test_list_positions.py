"""Positions of pages: what is stored between two pages is enough for another process, and is never trusted."""

import json
from typing import Any

import pytest

from connectors.contracts.errors import (
    ConnectorError,
    CredentialsRefused,
    PositionRefused,
    RequestRejected,
    SystemUnavailable,
    UnreadableResponse,
    UnsafeRequest,
)
from connectors.contracts.types import IdentityConnector, ListFacts
from tests.support.http.connectors import identity, read_list, shop, shop_settings
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

FIVE = [{"id": f"u{number}"} for number in range(5)]
IDS = [item["id"] for item in FIVE]
CURSOR = {"paging": "cursor", "cursor": "after", "next": "cursor"}
ADDRESS = {"paging": "next_url", "next": "address"}
STYLES: list[dict[str, Any]] = [
    {"paging": "offset", "start": "after"},
    {"paging": "page", "total": "total"},
    CURSOR,
    {"paging": "link"},
    ADDRESS,
]


def connect(url: str, **over: Any) -> IdentityConnector:
    listing = {"path": "/users", "size": 2, "results": "items", "count": "limit"} | over
    return identity(url, settings={"entities": {"USER": {"path": "/users/{id}", "list": listing}}})


def answer(seen: SeenRequest) -> Reply:
    """Answer as a system that has two items on a page, whatever the style."""
    start = int(seen.query.get("after") or 2 * (int(seen.query.get("page", "1")) - 1))
    following = str(start + 2) if start + 2 < 5 else None
    address = following and f"/users?after={following}&limit=2&tag=a&tag=b"
    body = {"items": FIVE[start : start + 2], "cursor": following, "address": address, "total": 5}
    return Reply(200, body, {"Link": f'<{address}>; rel="next"'} if address else {})


def second_position(url: str, **over: Any) -> dict[str, Any]:
    position = connect(url, **over).read_entity_page("USER", None).next
    assert position is not None
    return position


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style["paging"])
def test_another_process_goes_on_where_a_list_was_left(style: dict[str, Any]) -> None:
    """A new connector reads each page, from the position as a database gives it back."""
    with serving(answer) as service:
        ids: list[str] = []
        position: Any = None
        while True:
            page = connect(service.url, **style).read_entity_page("USER", position)
            ids += [entity.id for entity in page.entities]
            if page.next is None:
                break
            position = json.loads(json.dumps(page.next))
            assert len(json.dumps(position)) < 400
    assert ids == IDS


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style["paging"])
def test_a_refusal_of_a_position_is_told_from_one_of_the_list(style: dict[str, Any]) -> None:
    refusals: list[tuple[int, type[ConnectorError]]] = [
        (400, PositionRefused),
        (404, PositionRefused),
        (410, PositionRefused),
        (401, CredentialsRefused),
        (503, SystemUnavailable),
    ]
    with serving(answer) as service:
        position = second_position(service.url, **style)
        for status, kind in refusals:
            service.answer = lambda _, status=status: Reply(status, {"error": "The cursor has expired."})
            with pytest.raises(ConnectorError) as caught:
                connect(service.url, **style).read_entity_page("USER", position)
            assert (type(caught.value), caught.value.status) == (kind, status)
            with pytest.raises(ConnectorError) as caught:
                connect(service.url, **style).read_entity_page("USER", None)
            assert type(caught.value) is (RequestRejected if kind is PositionRefused else kind)


@pytest.mark.parametrize(
    "over", [{"size": 3}, {"query": {"active": "true"}}, {"path": "/people"}, ADDRESS, {"paging": "offset"}]
)
def test_a_position_of_other_settings_is_refused_without_a_request(over: dict[str, Any]) -> None:
    with serving(answer) as service:
        position = second_position(service.url, **CURSOR)
        with pytest.raises(PositionRefused):
            connect(service.url, **CURSOR | over).read_entity_page("USER", position)
        assert len(service.seen) == 1
        with serving(answer) as other:
            with pytest.raises(PositionRefused):
                connect(other.url, **CURSOR).read_entity_page("USER", position)
            assert other.seen == []


@pytest.mark.parametrize(
    ("style", "changed", "kind"),
    [
        *((ADDRESS, {"at": at}, UnsafeRequest) for at in (
            "//evil.test/users", "@evil.test/users", "/../users", "/users/%2e%2e/x", "/a//b", r"/\evil.test", "x"
        )),
        (ADDRESS, {"at": "https://evil.test/"}, UnsafeRequest),
        (ADDRESS, {"at": 7}, PositionRefused),
        (CURSOR, {"at": None}, PositionRefused),
        (CURSOR, {"at": "x" * 9000}, PositionRefused),
        (CURSOR, {"received": -1}, PositionRefused),
        (CURSOR, {"pages": True}, PositionRefused),
        (CURSOR, {"last": 1}, PositionRefused),
        (CURSOR, {"more": 1}, PositionRefused),
        (STYLES[0], {"at": "2&admin=1"}, PositionRefused),
        (STYLES[0], {"at": 10**15}, PositionRefused),
    ],
)  # fmt: skip
def test_a_stored_position_that_was_changed_is_never_requested(
    style: dict[str, Any], changed: dict[str, Any], kind: type[ConnectorError]
) -> None:
    def below(seen: SeenRequest) -> Reply:
        given = answer(seen)
        given.value["address"] = "/api/users?after=2"
        return given

    with serving(below) as service:
        url = f"{service.url}/api"
        position = second_position(url, **style)
        with pytest.raises(kind):
            connect(url, **style).read_entity_page("USER", position | changed)
        for document in ([], "x", {}):
            with pytest.raises(PositionRefused):
                connect(url, **style).read_entity_page("USER", document)  # type: ignore[arg-type]
        assert len(service.seen) == 1


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_a_list_that_goes_round_is_found_by_what_its_position_holds(length: int) -> None:
    def go_round(seen: SeenRequest) -> Reply:
        number = int(seen.query.get("after", "0")) + 1
        following = str(number if number <= length else 1)
        items = [{"id": f"{following}-{len(service.seen)}"}]
        return Reply(200, {"items": items, "cursor": following, "address": f"/users?after={following}"})

    for style in (CURSOR, ADDRESS):
        with serving(go_round) as service:
            with pytest.raises(UnreadableResponse, match="same next page again"):
                read_list(connect(service.url, **style))
            assert len(service.seen) <= 3 * length + 3


def test_a_system_that_ignores_the_cursor_is_found() -> None:
    """Each response names another cursor, and the page is the first one each time."""
    with serving(lambda _: Reply(200, {"items": FIVE[:2], "cursor": f"c{len(service.seen)}"})) as service:
        with pytest.raises(UnreadableResponse, match="same page again"):
            read_list(connect(service.url, **CURSOR))
        assert len(service.seen) == 2


@pytest.mark.parametrize("style", STYLES[:2], ids=lambda style: style["paging"])
def test_a_counted_list_ends_where_its_pages_come_again(style: dict[str, Any]) -> None:
    """Pages 1, 2, 3, 2, 3, …: a system that counts on from its beginning. No total ends the list."""

    def wrap(_: SeenRequest) -> Reply:
        number = len(service.seen) - 1
        page = number if number < 3 else 1 + (number - 1) % 2
        return Reply(200, {"items": [{"id": f"u{2 * page}"}, {"id": f"u{2 * page + 1}"}]})

    with serving(wrap) as service:
        ids = [entity.id for entity in read_list(connect(service.url, **style))]
        assert set(ids) == {f"u{number}" for number in range(6)}
        assert len(service.seen) <= 8


@pytest.mark.parametrize(
    "place", ["s3cret-token", "page-czNjcmV0LXRva2Vu", "a\0b", "\ud800", "x" * 4097], ids=range(5)
)
def test_a_place_that_must_not_be_stored_is_refused(place: str) -> None:
    """The token of the connection as it is and in base64, texts that PostgreSQL cannot store, and a long one."""
    with serving(lambda _: Reply(200, {"items": FIVE[:2], "cursor": place})) as service:
        with pytest.raises(UnreadableResponse) as caught:
            connect(service.url, **CURSOR).read_entity_page("USER", None)
        assert "s3cret" not in str(caught.value)


def test_an_address_is_stored_without_the_secret_that_it_repeats() -> None:
    def echo(seen: SeenRequest) -> Reply:
        given = answer(seen)
        address = given.value["address"]
        given.value["address"] = address and address.replace("?", "?access_token=s3cret-token&")
        return given

    with serving(echo) as service:
        position = second_position(service.url, **ADDRESS)
        assert position["at"] == "/users?after=2&limit=2&tag=a&tag=b"
        connect(service.url, **ADDRESS).read_entity_page("USER", position)
        assert service.seen[-1].target == position["at"]


def test_a_list_may_have_empty_pages_where_the_system_names_the_next() -> None:
    pages: list[list[dict[str, str]]] = [[], FIVE[:2], [], [], FIVE[2:]]

    def sparse(seen: SeenRequest) -> Reply:
        number = int(seen.query.get("after", "0"))
        return Reply(
            200, {"items": pages[number], "cursor": str(number + 1) if number < 4 else "", "total": 2}
        )

    with serving(sparse) as service:
        # A total ends only what the hub counts.
        ids = [entity.id for entity in read_list(connect(service.url, **CURSOR, total="total"))]
        assert ids == IDS


@pytest.mark.parametrize("style", [STYLES[0], CURSOR], ids=lambda style: style["paging"])
def test_items_that_are_null_are_counted_and_left_out(style: dict[str, Any]) -> None:
    """So is a page of them, and the next page begins where the system expects it. The total becomes that of the items."""
    users = [{"id": f"u{number}", "gone": number in (1, 2, 3)} for number in range(6)]

    def reply(seen: SeenRequest) -> Reply:
        start = int(seen.query.get("after", "0"))
        following = str(start + 2) if start + 2 < len(users) else None
        return Reply(200, {"items": users[start : start + 2], "cursor": following, "total": 6})

    with serving(reply) as service:
        over = style | {"results": "map(&(!gone && @ || `null`), items)", "total": "total"}
        assert [entity.id for entity in read_list(connect(service.url, **over))] == ["u0", "u4", "u5"]
        position: Any = None
        totals = []
        for _ in range(3):
            page = connect(service.url, **over).read_entity_page("USER", position)
            position = page.next
            totals.append(page.total)
        assert (totals, position) == ([5, 3, 3], None)


def test_the_settings_say_what_a_list_has() -> None:
    with serving(lambda _: Reply(200, {"items": FIVE})) as service:
        assert connect(service.url, size=7).list_facts("USER") == ListFacts(False, True, True, 7)
        facts = connect(service.url, complete=True, whole_items=False, paging="link").list_facts("user")
        assert facts is not None
        assert facts[:3] == (True, False, False)
        for expected, over in ((None, {}), ((True, True), {"list": {"path": "/c", "complete": True}})):
            settings = shop_settings(**over)
            if expected is None:
                del settings["entities"]["USER"]["operations"]["list"]
            found = shop(service.url, settings=settings).list_facts("USER")
            assert (found and found[:2]) == expected
        assert service.seen == []


def test_records_of_a_target_are_listed_as_they_are_fetched() -> None:
    """Fields in items of lists are there too."""
    record = {
        "id": 7,
        "emails": [{"type": "home", "value": "h@a.test"}, {"type": "work", "value": "w@a.test"}],
    }

    def reply(seen: SeenRequest) -> Reply:
        if seen.path == "/api/customers/7":
            return Reply(200, record)
        return Reply(200, {"rows": [record] if seen.query["start"] == "0" else [], "sum": 1})

    listing = {"path": "/c", "result": "rows", "paging": "offset", "start": "start", "total": "sum"}
    settings = shop_settings(
        list=listing, list_items={"email": {"list": "emails", "where": {"type": "work"}}}
    )
    with serving(reply) as service:
        page = shop(service.url, settings=settings).read_record_page("USER", None)
        assert page.records == (shop(service.url, settings=settings).get_record("USER", "7"),)
        assert (page.records[0].fields["email"], page.total, page.next) == ("w@a.test", 1, None)
        del settings["entities"]["USER"]["operations"]["list"]
        with pytest.raises(ConnectorError, match="no list"):
            shop(service.url, settings=settings).read_record_page("USER", None)
