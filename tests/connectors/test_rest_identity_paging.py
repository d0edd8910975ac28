"""Lists end, however the service implements paging."""

from collections.abc import Callable
from typing import Any

import pytest

from connectors.contracts.errors import (
    NotConfigured,
    RequestRejected,
    SettingOverBudget,
    UnreadableResponse,
)
from connectors.contracts.types import IdentityConnector
from tests.support.hostile.expressions import piped
from tests.support.http.connectors import identity, read_list
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

FIVE = [{"id": f"u{number}"} for number in range(5)]
LIST = {"path": "/users", "size": 2, "results": "resources", "total": "total"}


def _settings(**over: Any) -> dict[str, Any]:
    return {"entities": {"USER": {"path": "/users/{id}", "list": LIST | over}}}


def _connector(url: str, **over: Any) -> IdentityConnector:
    return identity(url, settings=_settings(**over))


def _slice(seen: SeenRequest, first: int = 0, largest: int = 100) -> list[dict[str, str]]:
    start = int(seen.query["startIndex"]) - first
    return FIVE[start : start + min(int(seen.query["count"]), largest)]


@pytest.mark.parametrize(
    ("page", "over", "requests"),
    [
        (lambda seen: {"resources": _slice(seen), "total": 5}, {}, 3),
        (lambda seen: {"resources": _slice(seen)}, {}, 4),
        (lambda seen: {"resources": _slice(seen), "total": True}, {}, 4),
        (lambda seen: {"resources": _slice(seen, largest=1), "total": 5}, {}, 5),
        (lambda seen: {"resources": _slice(seen, first=1), "total": 5}, {"first": 1}, 3),
        (lambda _: {"resources": FIVE, "total": 500}, {}, 2),
        (lambda _: FIVE, {"results": "@", "total": None}, 2),
        (lambda _: {"resources": FIVE + FIVE, "total": 10}, {}, 1),
    ],
    ids=[
        "total", "empty-page", "total-is-true", "smaller-pages", "counted-from-one",
        "start-ignored", "bare-list", "doubled-within-a-page",
    ],
)  # fmt: skip
def test_a_list_yields_each_entity_once_and_ends(
    page: Callable[[SeenRequest], Any], over: dict[str, Any], requests: int
) -> None:
    with serving(lambda seen: Reply(200, page(seen))) as service:
        ids = [entity.id for entity in read_list(_connector(service.url, **over), "user")]
    assert ids == ["u0", "u1", "u2", "u3", "u4"]
    assert len(service.seen) == requests


def test_a_page_is_one_request_and_names_its_total() -> None:
    with serving(lambda seen: Reply(200, {"resources": _slice(seen), "total": 5})) as service:
        page = _connector(service.url, query={"filter": "active eq true"}).read_entity_page("USER", None)
        assert ([entity.id for entity in page.entities], page.total) == (["u0", "u1"], 5)
        assert [seen.query for seen in service.seen] == [
            {"filter": "active eq true", "startIndex": "0", "count": "2"}
        ]


@pytest.mark.parametrize(
    "body", [{"resources": None}, {}, {"resources": [{"name": "no id"}]}, {"resources": ["u1"]}]
)
def test_a_page_that_is_no_list_of_entities_is_garbled(body: Any) -> None:
    with serving(lambda _: Reply(200, body)) as service, pytest.raises(UnreadableResponse):
        read_list(_connector(service.url))


def test_a_missing_list_is_an_error_and_not_an_empty_list() -> None:
    with serving(lambda _: Reply(404, {})) as service, pytest.raises(RequestRejected):
        read_list(_connector(service.url))


def test_a_list_without_configuration_is_refused_before_any_request() -> None:
    with serving(lambda _: Reply(200, {})) as service:
        connector = identity(service.url, settings={"entities": {"USER": {"path": "/users/{id}"}}})
        for entity_type in ("USER", "GROUP"):
            with pytest.raises(NotConfigured):
                connector.read_entity_page(entity_type, None)
        assert service.seen == []


# About 1,200 steps: a response with 20 entities is within its budget of 100,000, one with 150 is not.
COSTLY_ID = piped("[@,@][]", 9) + "|[0].id"


def list_costly(count: int, pages: int) -> int:
    """Return how many entities are listed whose ids cost much: `pages` pages of `count` entities each."""

    def answer(seen: SeenRequest) -> Reply:
        start = int(seen.query["startIndex"])
        rest = range(start, min(start + count, count * pages))
        return Reply(200, {"resources": [{"id": f"u{number}"} for number in rest], "total": count * pages})

    listing = LIST | {"size": count}
    with serving(answer) as service:
        entity = {"path": "/users/{id}", "id": COSTLY_ID, "list": listing}
        connector = identity(service.url, settings={"entities": {"USER": entity}})
        return len(read_list(connector))


def test_expressions_over_one_response_share_a_budget_and_each_response_has_its_own() -> None:
    with pytest.raises(SettingOverBudget):
        list_costly(150, 1)
    assert list_costly(20, 8) == 160
