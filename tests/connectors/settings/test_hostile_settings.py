"""Hostile values in every place of the settings of a connection, and hostile records in what was accepted.

Each place of a document of each kind takes each value. A document is either refused with a sentence about one of its
places, or it works within the rules: no request leaves the base URL, no header and no segment of a path is smuggled in,
every error is one of the connectors, and no secret is in a record or an error.
"""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from config_schema.errors import SettingsInvalid
from connectors.auth import log_in_guard, refresh_tokens
from connectors.contracts.errors import ConnectorError
from connectors.http import dns
from connectors.registry import CONNECTOR_SIDES, make_connector, validate_connection
from connectors.settings.secret_values import mask_plain_secrets
from tests.connectors.settings.documents import DOCUMENTS, change
from tests.support.http.connectors import MemoryRecorder, read_list
from tests.support.http.servers import Reply, SeenRequest, Service, serving

pytestmark = [pytest.mark.pure, pytest.mark.hostile_settings, pytest.mark.concurrent]

SECRET = "hunter2-" * 5
_SECRETS = ("password", "token", "client_secret", "refresh_token", "signing_key", "value", "parameter_value")
CREDENTIALS = dict.fromkeys((*_SECRETS, "second_value", "consumer_secret", "token_secret"), SECRET) | {
    "username": "hub",
    "client_id": "hub",
    "consumer_key": "hub",
}
BEARER: dict[str, Any] = {"scheme": "bearer"}

KINDS = (
    "identity",
    "pages of offset by GET",
    "pages of page by GET",
    "pages of cursor by GET",
    "pages of link by GET",
    "pages of next_url by GET",
    "pages of cursor by POST",
    "target",
    "operations",
    "session",
    "jwt",
    "oauth",
    "refresh token",
    "parameter",
    "signature",
)
Connection = tuple[str, dict[str, Any], dict[str, Any]]


def load(kind: str) -> Connection:
    document = DOCUMENTS[kind]
    return document["connector"], document["settings"], document["authentication"]


OAUTH = load("oauth")[2]
# Objects whose names are free.
FREE = frozenset(
    {
        "query",
        "headers",
        "body",
        "variables",
        "values",
        "entities",
        "claims",
        "parameters",
        "expression",
        "v",
        "t",
        "e",
    }
)
BOMB = "|".join(["[@,@]"] * 25)
DEEP: Any = "x"
for _ in range(100):
    DEEP = {"a": [DEEP]}
HOSTILE: list[Any] = [
    "/../admin", "/%2e%2e/admin", "//evil.test/c", "https://evil.test/c", "/c\\..\\x", "/c?admin=1#x", "/c/{id}/..",
    "/a\r\nX-Evil: 1", "en\r\nX-Evil: 1", "en\nX-Evil: 1", "{password}", "{unknown}", "'{value}'", '"{id}"',
    "{value:nope}", "nope(@)", "linked('USER', id)", BOMB, "a[", "\0", "\ud800", "ä€𝄞", "x" * 20_000, "", " ",
    -1, 10**30, 1.5, True, None, [], {}, [[]], ["x"] * 1_000, {"a": "b"}, {"expression": BOMB}, DEEP,
]  # fmt: skip
VALUES = ["a'b", 'a"b', "a\\", "' or '1'='1", '" or "1"="1', "../admin", "..", "a/../b", "%2e%2e", "a\r\nX-Evil: 1", "\0",
          "{id}", "\ud800", "x" * 5_000, " ", "a?b#c", "//evil.test"]  # fmt: skip


def list_places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of each value of a document."""
    if place:
        yield place
    pairs = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for name, inner in pairs:
        yield from list_places(inner, (*place, name))


def answer(seen: SeenRequest) -> Reply:
    """Answer as a system whose answers are as hostile as its settings."""
    if seen.path.endswith(("/login", "/token")):
        return Reply(200, {"token": "t" * 20, "access_token": "t" * 20, "expires_in": 60, "user": 7})
    item = {
        "id": seen.path.rpartition("/")[2],
        "email": "old",
        "address": {"id": "9/../9"},
        "meta": {"version": 1},
    }
    body = {**item, "items": [item], "next": "http://evil.test/c", "n": "c\r\nX-Evil: 1"}
    return Reply(200, body, {"Link": '<//evil.test/c>; rel="next"', "Set-Cookie": "a=b"})


def use(connector: Any, side: str, value: str) -> Iterator[Callable[[], Any]]:
    if side == "identity":
        yield lambda: connector.fetch_entity("USER", value)
        yield lambda: read_list(connector, max_pages=2)
        yield lambda: connector.fetch_entity("GROUP", value)
    else:
        yield lambda: connector.get_record("USER", value)
        yield lambda: connector.search_records("USER", "email", value)
        yield lambda: connector.create_record("USER", {"email": value}, "key-1")
        yield lambda: connector.update_record("USER", "7", {"email": value}, "key-1")
        yield lambda: connector.delete_record("USER", value, "key-1")
    yield connector.probe_system


def drive(service: Service, name: str, settings: Any, authentication: Any, values: list[str]) -> None:
    """Use a connection that was accepted, and check what left and what came back."""
    side, notebook, said = CONNECTOR_SIDES[name], MemoryRecorder(), []
    service.seen.clear()
    base = f"{service.url}/base"
    with suppress(SettingsInvalid):
        connector = make_connector(
            side, name, base_url=base, authentication=authentication, credentials=CREDENTIALS,
            settings=settings, request_id="r1", recorder=notebook, deadline=60.0,
        )  # fmt: skip
        for value in values:
            for call in use(connector, side, value):
                try:
                    call()
                except ConnectorError as error:
                    said.append(f"{error} {error.sentence} {error.fields}")
    for seen in service.seen:
        # The token endpoint of OAuth is at the origin.
        path = urlsplit(seen.target).path
        assert path.startswith("/base/") or authentication["scheme"].startswith("oauth2"), seen.target
        assert not {"..", ".", "%2e%2e"} & set(path.lower().split("/")), seen.target
        assert "x-evil" not in seen.headers
        assert seen.headers["host"] == urlsplit(service.url).netloc
    for sent, exchange in zip(notebook.sent, notebook.exchanges, strict=False):
        shown = repr((sent, exchange))
        assert sent.url.startswith(service.url + "/"), "no request of the page elsewhere"
        assert SECRET not in shown
    assert all(SECRET not in text and "evil" not in text for text in said)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(log_in_guard, "_guard", log_in_guard.MemoryGuard())
    monkeypatch.setattr(refresh_tokens, "_store", refresh_tokens.MemoryRefreshTokens())
    with serving(answer) as running:
        yield running


def find_refusal(name: str, settings: Any, authentication: Any) -> SettingsInvalid | None:
    """Return why a connection may not be saved; None if it may."""
    try:
        validate_connection(name, settings, authentication, "https://shop.test")
    except SettingsInvalid as refused:
        return refused
    return None


def accepts(name: str, settings: Any, authentication: Any) -> bool:
    """Return True if a connection may be saved. A refusal is a short sentence about a place, and holds no secret."""
    refusal = find_refusal(name, settings, authentication)
    if refusal is None:
        return True
    assert refusal.place
    assert refusal.sentence.endswith("."), refusal.sentence
    assert len(refusal.sentence) < 1_500
    assert SECRET not in str(refusal)
    return False


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_value_in_any_place_is_refused_or_harmless(kind: str, service: Service) -> None:
    name, settings, authentication = load(kind)
    whole = {"settings": settings, "authentication": authentication}
    accepted = 0
    for place in list_places(whole):
        for value in HOSTILE:
            changed = change(whole, place, {"value": value})
            if accepts(name, changed["settings"], changed["authentication"]):
                accepted += 1
                if value != whole and len(place) > 1:
                    drive(service, name, changed["settings"], changed["authentication"], ["7"])
    assert accepted, "some values are harmless, and are sent"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.promise("I13", "T5")
def test_each_document_is_good_and_hostile_records_stay_within_their_place(
    kind: str, service: Service
) -> None:
    assert find_refusal(*load(kind)) is None
    drive(service, *load(kind), ["7"])
    assert service.seen
    drive(service, *load(kind), VALUES)


def test_an_unknown_field_is_refused_with_the_list_of_known_ones() -> None:
    for kind in KINDS:
        name, settings, authentication = load(kind)
        whole = {"settings": settings, "authentication": authentication}
        refused_places = 0
        for place in [("settings",), ("authentication",), *list_places(whole)]:
            target: Any = whole
            for part in place:
                target = target[part]
            if not isinstance(target, dict) or any(part in FREE for part in place[-1:]):
                continue
            changed = change(whole, (*place, "surprise"), {"value": "x"})
            refusal = find_refusal(name, changed["settings"], changed["authentication"])
            if refusal is None or FREE & set(place):
                # In a body it is a field to send.
                assert FREE & set(place), place
            else:
                assert "Available: " in refusal.sentence, (place, refusal.sentence)
                refused_places += 1
        assert refused_places >= 2


def _with_token_url(address: str) -> dict[str, Any]:
    return {name: value for name, value in OAUTH.items() if name != "token_path"} | {"token_url": address}


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest", "https://[::ffff:169.254.169.254]/t", "https://0.0.0.0/t",
        "http://metadata.google.internal/t",
    ],
)  # fmt: skip
def test_a_token_request_obeys_the_outgoing_policy(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, where: connected.append(where))
    metadata = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]
    monkeypatch.setattr(dns._resolver, "resolve_host", lambda *_: metadata)
    authentication = _with_token_url(address)
    validate_connection("rest-identity", load("oauth")[1], authentication, "https://shop.test")
    connector = make_connector(
        "identity", "rest-identity", base_url="https://shop.test", authentication=authentication,
        credentials=CREDENTIALS, settings=load("oauth")[1], request_id="r1", recorder=MemoryRecorder(),
    )  # fmt: skip
    with pytest.raises(ConnectorError) as refused:
        connector.fetch_entity("USER", "7")
    assert refused.value.code == "identity-unavailable"
    assert SECRET not in str(refused.value)
    assert connected == []


def test_no_secret_is_on_the_audit_log() -> None:
    query = {"value": {"api_key": [SECRET, "x"]}}
    settings = change(load("target")[1], ("entities", "USER", "operations", "list", "query"), query)
    with pytest.raises(SettingsInvalid) as refused:
        validate_connection("rest-target", settings, BEARER, "https://shop.test")
    assert SECRET not in str(refused.value)
    # Settings from before a rule was there: the log does not show them.
    assert SECRET not in json.dumps(mask_plain_secrets(settings))
