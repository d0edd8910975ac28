"""Secrets in a query parameter, in a field of the body, and a second secret: sent in their place, shown nowhere."""

import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from connectors.auth import log_in_guard
from connectors.contracts.errors import ConnectorError
from tests.support.http.connectors import MemoryRecorder, identity, shop
from tests.support.http.servers import Reply, SeenRequest, Service, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

SECRET = "t0ken&of=the hub+1"
SECOND = "k3y-of-the-gateway"
PARAMETER = {"scheme": "parameter", "parameter": "wstoken"}
IN_BODY = {**PARAMETER, "in": "body"}


def _repeat(seen: SeenRequest) -> Reply:
    """Refuse a request, and repeat it."""
    text = f"{seen.target} {seen.body.decode()} {dict(seen.headers)}"
    return Reply(422, {"message": text, "text": text})


def _write(
    service: Service, notebook: MemoryRecorder, authentication: dict[str, Any], **operation: Any
) -> Any:
    """Create a record, and return the error."""
    operations = {
        "get": {"path": "/users/{id}"},
        "create": {"path": "/users", "query": {"f": "create"}, **operation},
        "update": {"path": "/users/{id}"},
    }
    connector = shop(
        service.url, notebook, authentication=authentication,
        credentials={"parameter_value": SECRET, "second_value": SECOND, "token": SECRET},
        settings={"entities": {"USER": {"operations": operations}}, "error": {"sentence": "message"}},
    )  # fmt: skip
    with pytest.raises(ConnectorError) as caught:
        connector.create_record("USER", {"email": "ada@example.org", "tags": ["a"]}, "key-1")
    return caught.value


def _assert_hidden(notebook: MemoryRecorder, error: Any) -> None:
    shown = f"{error} {error.sentence} {notebook.sent!r} {notebook.exchanges!r}"
    assert "***" in shown
    for secret in (SECRET, SECOND, "t0ken", "%26of%3D"):
        assert secret not in shown


def test_a_parameter_is_in_the_address_of_each_request() -> None:
    notebook = MemoryRecorder()
    with serving(_repeat) as service:
        error = _write(service, notebook, PARAMETER)
    (seen,) = service.seen
    assert dict(parse_qsl(urlsplit(seen.target).query)) == {"f": "create", "wstoken": SECRET}
    assert json.loads(seen.body) == {"email": "ada@example.org", "tags": ["a"]}
    assert notebook.sent[0].url.endswith("?f=create&wstoken=***")
    _assert_hidden(notebook, error)


def test_a_parameter_is_a_field_of_a_form() -> None:
    notebook = MemoryRecorder()
    with serving(_repeat) as service:
        error = _write(service, notebook, IN_BODY, encoding="form")
    (seen,) = service.seen
    assert "wstoken" not in seen.target
    form = {"wstoken": [SECRET], "email": ["ada@example.org"], "tags[0]": ["a"]}
    assert parse_qs(seen.body.decode()) == form
    assert (notebook.sent[0].body or b"").startswith(b"wstoken=***&email=")
    _assert_hidden(notebook, error)


@pytest.mark.parametrize("body", [{"a": 1}, {"expression": "`{}`"}], ids=["members", "empty"])
def test_a_parameter_is_a_member_of_a_json_object(body: Any) -> None:
    notebook = MemoryRecorder()
    with serving(_repeat) as service:
        error = _write(service, notebook, IN_BODY, body=body)
    (seen,) = service.seen
    assert json.loads(seen.body) == {"wstoken": SECRET, **({"a": 1} if "a" in body else {})}
    assert "wstoken" not in seen.target
    _assert_hidden(notebook, error)


@pytest.mark.parametrize("body", [None, [1]], ids=["no body", "a list"])
def test_a_request_whose_body_cannot_have_the_field_sends_it_in_its_address(body: Any) -> None:
    more = {"encoding": "none"} if body is None else {"body": body}
    with serving(_repeat) as service:
        _write(service, MemoryRecorder(), IN_BODY, **more)
    (seen,) = service.seen
    assert dict(parse_qsl(urlsplit(seen.target).query))["wstoken"] == SECRET
    assert seen.body == (b"" if body is None else b"[1]")


def test_a_second_secret_is_sent_in_addition_to_the_first() -> None:
    notebook = MemoryRecorder()
    with serving(_repeat) as service:
        error = _write(service, notebook, {"scheme": "bearer", "second": {"header": "App-Token"}})
        other = _write(service, notebook, {"scheme": "bearer", "second": {"query": "key"}})
    first, second = service.seen
    assert (first.headers["authorization"], first.headers["app-token"]) == (f"Bearer {SECRET}", SECOND)
    assert (second.headers["authorization"], urlsplit(second.target).query) == (
        f"Bearer {SECRET}",
        f"f=create&key={SECOND}",
    )
    assert notebook.sent[0].headers["App-Token"] == "***"
    _assert_hidden(notebook, error)
    _assert_hidden(notebook, other)


@pytest.mark.parametrize(
    "authentication",
    [{"scheme": "bearer", "second": {"header": "App-Token"}}, PARAMETER, IN_BODY],
    ids=["header", "query", "body"],
)
def test_a_short_secret_is_masked_with_its_name(authentication: dict[str, Any]) -> None:
    def answer(seen: SeenRequest) -> Reply:
        return Reply(422, {"message": f"{seen.target} {seen.body.decode()}", "headers": dict(seen.headers)})

    credentials = {"token": SECRET, "parameter_value": "q7z", "second_value": "q7z"}
    notebook = MemoryRecorder()
    with serving(answer) as service:
        connector = shop(service.url, notebook, authentication=authentication, credentials=credentials)
        with pytest.raises(ConnectorError) as caught:
            connector.create_record("USER", {"email": "ada@example.org"}, "key-1")
    (seen,) = service.seen
    assert "q7z" in f"{seen}", "it was sent"
    assert "q7z" not in f"{caught.value.sentence} {notebook.sent!r} {notebook.exchanges!r}"


def test_a_log_in_has_the_second_secret_too_and_a_token_endpoint_elsewhere_has_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_in_guard, "_guard", log_in_guard.MemoryGuard())

    def answer(seen: SeenRequest) -> Reply:
        return Reply(200, {"token": "session-token-1", "access_token": "access-token-1", "id": "a1"})

    session = {
        "scheme": "session", "second": {"header": "App-Token"}, "token": {"path": "token"},
        "log_in": {"path": "/login", "body": {"password": {"expression": "password"}}},
    }  # fmt: skip
    names = ("username", "password", "client_id", "client_secret")
    credentials = dict.fromkeys(names, "placed-secret-test") | {"second_value": SECOND}
    with serving(answer) as service, serving(answer) as elsewhere:
        identity(service.url, authentication=session, credentials=credentials).fetch_entity("USER", "a1")
        assert [seen.headers.get("app-token") for seen in service.seen] == [SECOND, SECOND]
        oauth = {
            "scheme": "oauth2-client-credentials",
            "token_url": f"{elsewhere.url}/token",
            "second": {"header": "App-Token"},
        }
        identity(service.url, authentication=oauth, credentials=credentials).fetch_entity("USER", "a1")
        assert [seen.headers.get("app-token") for seen in elsewhere.seen] == [None]
        assert service.seen[-1].headers["app-token"] == SECOND


def test_the_address_of_a_next_page_may_repeat_the_parameter() -> None:
    def answer(seen: SeenRequest) -> Reply:
        query = dict(parse_qsl(urlsplit(seen.target).query))
        page = int(query.get("page", "1"))
        following = f"http://{seen.headers['host']}/users?page=2&wstoken={query['wstoken']}"
        return Reply(200, {"items": [{"id": f"u{page}"}], "next": following if page == 1 else None})

    paging = {"path": "/users", "results": "items", "paging": "next_url", "next": "next", "count": None}
    settings = {"entities": {"USER": {"path": "/users/{id}", "list": paging}}}
    credentials = {"parameter_value": "t0ken-of-the-hub"}
    notebook = MemoryRecorder()
    with serving(answer) as service:
        connector = identity(
            service.url, notebook, authentication=PARAMETER, credentials=credentials, settings=settings
        )
        first = connector.read_entity_page("USER", None)
        assert "t0ken-of-the-hub" not in repr(first)
        second = connector.read_entity_page("USER", first.next)
        assert [entity.id for entity in first.entities + second.entities] == ["u1", "u2"]
    assert service.seen[1].target == "/users?page=2&wstoken=t0ken-of-the-hub"
    assert "t0ken-of-the-hub" not in repr(notebook.sent) + repr(notebook.exchanges)
