"""A connector is built from the current connection, however often it was built before."""

import contextlib
import os
from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from connectors import registry
from connectors.presets import load_preset
from connectors.values.fingerprint import fingerprint_json
from tests.support.http.connectors import identity, shop, shop_settings
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]


def _entity(_: SeenRequest) -> Reply:
    return Reply(200, {"id": "a1"})


def test_a_change_of_a_connection_takes_effect_at_once() -> None:
    settings: dict[str, Any] = load_preset("sandbox-identity")["settings"]
    with serving(_entity) as service:
        for path, token, header in (
            ("/a/{id}", "one", "x"),
            ("/b/{id}", "two", "y"),
            ("/a/{id}", "one", "x"),
        ):
            settings["entities"]["USER"]["path"] = path
            settings["headers"] = {"X-Own": header}
            identity(service.url, settings=settings, credentials={"token": token}).fetch_entity("USER", "a1")
        seen = [(one.path, one.headers["authorization"], one.headers["x-own"]) for one in service.seen]
    assert seen == [("/a/a1", "Bearer one", "x"), ("/b/a1", "Bearer two", "y"), ("/a/a1", "Bearer one", "x")]


def test_a_header_of_the_settings_replaces_ours_whatever_its_case() -> None:
    with serving(_entity) as service:
        settings = shop_settings() | {
            "headers": {"accept": "text/x", "content-TYPE": "text/y", "x-api-key": "own"}
        }
        connector = shop(
            service.url,
            settings=settings,
            authentication={"scheme": "header", "header": "X-Api-Key"},
            credentials={"value": "k3y"},
        )
        connector.create_record("USER", {}, "k")
        headers = service.seen[0].headers
    assert [headers[name] for name in ("accept", "content-type", "x-api-key")] == ["text/x", "text/y", "k3y"]


def test_values_that_are_equal_in_python_are_distinguished() -> None:
    settings: dict[str, Any] = load_preset("sandbox-identity")["settings"]
    listing = settings["entities"]["USER"]["list"]
    listing["first"] = 1
    identity("http://a.test", settings=settings)
    listing["first"] = True
    with pytest.raises(SettingsInvalid):
        identity("http://a.test", settings=settings)


def test_a_fingerprint_differs_for_different_contents() -> None:
    cases: list[tuple[Any, Any]] = [
        (1, True), (1, 1.0), ("1", 1), (["a", "b"], ["ab"]), ({"a": {}}, {"a": []}), ((["a"], []), ([], ["a"])), ("", None),
    ]  # fmt: skip
    for one, other in cases:
        assert fingerprint_json(one) != fingerprint_json(other)


def test_a_fingerprint_is_the_same_for_the_same_content_and_keeps_no_secret() -> None:
    class Own(dict[str, Any]):
        pass

    text = "sec" + "ret"
    assert fingerprint_json({"a": ["secret", 1]}) == fingerprint_json({"a": [text, 1]})
    assert b"secret" not in fingerprint_json("secret")
    assert fingerprint_json(Own(a=1)) == fingerprint_json(Own(a=1)) != fingerprint_json(Own(a=2))


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_CACHED", 5)
    for number in range(registry.MAX_CACHED + 10):
        identity("http://a.test", credentials={"token": f"t{number}"})
    assert 0 < len(registry._cache) <= registry.MAX_CACHED


def test_a_forked_child_starts_with_an_empty_cache() -> None:
    identity("http://a.test")
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = len(registry._cache)
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
