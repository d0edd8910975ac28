"""Query parameters with several values, in every query of a connection, and values in base64."""

from base64 import b64decode
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from config_schema.errors import SettingsInvalid
from connectors.auth import log_in_guard
from connectors.registry import validate_connection
from connectors.settings.setting_kinds import MAX_PARAMETER_VALUES
from tests.support.http.authentication_servers import PASSWORD, USERNAME
from tests.support.http.connectors import identity, shop, shop_settings
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

REPEATED = {"f": ["code", "name & more"], "g": "one"}
SENT = [("f", "code"), ("f", "name & more"), ("g", "one")]


def pairs(seen: SeenRequest) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(seen.target).query)


def test_each_query_of_an_identity_service_may_repeat_a_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_in_guard, "_guard", log_in_guard.MemoryGuard())
    settings = {
        "entities": {
            "USER": {
                "path": "/users/{id}",
                "query": {**REPEATED, "q": ["{id}", "x-{id}"]},
                "list": {
                    "path": "/users",
                    "query": REPEATED,
                    "size": 1,
                    "modified_since": {"query": {"t": ["{time}", "now"]}},
                },
                "probe": {"path": "/ping", "query": REPEATED},
            }
        }
    }
    authentication = {
        "scheme": "session",
        "log_in": {"path": "/login", "query": REPEATED, "body": {"p": {"expression": "password"}}},
        "token": {"path": "token"},
    }

    def answer(seen: SeenRequest) -> Reply:
        if seen.path == "/login":
            return Reply(200, {"token": "session-token-1"})
        return Reply(200, [] if seen.path == "/users" else {"id": "u1"})

    with serving(answer) as service:
        connector = identity(
            service.url,
            settings=settings,
            authentication=authentication,
            credentials={"username": USERNAME, "password": PASSWORD},
        )
        assert connector.fetch_entity("USER", "u1") is not None
        assert connector.read_entity_page("USER", None).entities == ()
        connector.probe_system()
        log_in, fetch, listing, probe = service.seen
        assert pairs(log_in) == pairs(probe) == SENT
        assert pairs(fetch) == [*SENT, ("q", "u1"), ("q", "x-u1")]
        assert pairs(listing)[:3] == SENT


def test_each_query_of_a_target_may_repeat_a_parameter() -> None:
    user: dict[str, Any] = {
        "search": {
            "path": "/c",
            "query": {"q": ["{field}={value}", "active=1"], **REPEATED},
            "fields": ["email"],
        },
        "list": {"path": "/c", "query": REPEATED},
        "get": {"path": "/c/{id}", "query": {**REPEATED, "key": ["{id}", "{id:base64}"]}},
        "create": {"path": "/c", "query": {"f": ["a", "b"]}},
        "id_may_change": False,
    }
    settings = shop_settings(**user)

    def answer(seen: SeenRequest) -> Reply:
        return Reply(200, [] if seen.path == "/c" and seen.method == "GET" else {"id": "7"})

    with serving(answer) as service:
        target = shop(service.url, settings=settings)
        assert target.search_records("USER", "email", "a+b@c.test") == ()
        assert target.get_record("USER", "7") is not None
        target.create_record("USER", {"email": "a@b.test"}, "k1")
        search, get, create = service.seen
        assert pairs(search) == [("q", "email=a+b@c.test"), ("q", "active=1"), *SENT]
        assert pairs(get) == [*SENT, ("key", "7"), ("key", "Nw==")]
        assert pairs(create) == [("f", "a"), ("f", "b")]


def test_base64_stays_within_one_segment_of_a_path() -> None:
    search = {"path": "/by/{value:base64}", "result": "@", "fields": ["name"]}
    with serving(lambda _: Reply(200, [])) as service:
        target = shop(service.url, settings=shop_settings(search=search))
        # Its standard form has a slash, a plus sign, and padding.
        assert target.search_records("USER", "name", "???>>\u00fe~") == ()
        (seen,) = service.seen
    segment = seen.target.removeprefix("/by/")
    assert "/" not in segment
    assert "%2F" in segment
    assert b64decode(unquote(segment), validate=True).decode() == "???>>\u00fe~"


@pytest.mark.parametrize("value", [[], ["a", 1], {"a": "b"}, None, ["x"] * (MAX_PARAMETER_VALUES + 1)])
def test_other_values_are_refused_everywhere(value: Any) -> None:
    query = {"f": value}
    for user in (
        {"list": {"path": "/c", "query": query}},
        {"probe": {"path": "/c", "query": query}},
        {"search": {"path": "/c", "query": {"q": "{value}", **query}}},
        {"get": {"path": "/c/{id}", "query": query}},
    ):
        with pytest.raises(SettingsInvalid) as refused:
            validate_connection("rest-target", shop_settings(**user), {"scheme": "bearer"}, "https://a.test")
        assert refused.value.pointer.endswith("/query")
