"""Sessions: one log-in for all requests, renewed when the system ends it, and never a refused password twice."""

import hashlib
import json
import threading
from base64 import b64decode
from typing import Any
from urllib.parse import parse_qsl

import pytest

from config_schema.errors import SettingsInvalid
from connectors.auth import log_in_guard
from connectors.contracts.errors import (
    ConnectorError,
    CredentialsRefused,
    RequestThrottled,
    SystemUnavailable,
    UnreadableResponse,
)
from connectors.contracts.types import IdentityConnector
from tests.support.http.authentication_servers import PASSWORD, USERNAME, SessionServer
from tests.support.http.connectors import MemoryRecorder, identity
from tests.support.http.servers import Reply, SeenRequest, Service, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

SESSION: dict[str, Any] = {
    "scheme": "session",
    "log_in": {
        "path": "/login",
        "body": {"user": {"expression": "username"}, "password": {"expression": "password"}},
    },
    "token": {"path": "token"},
}
FORBIDDEN = {"errors": [{"extensions": {"code": "FORBIDDEN"}}], "data": None}


@pytest.fixture(autouse=True)
def own_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_in_guard, "_guard", log_in_guard.MemoryGuard())


def connect(
    url: str, notebook: MemoryRecorder | None = None, *, password: str = PASSWORD, **over: Any
) -> IdentityConnector:
    return identity(
        url,
        notebook,
        authentication={**SESSION, **over},
        credentials={"username": USERNAME, "password": password},
        deadline=60.0,
    )


def fetch(url: str, **over: Any) -> str:
    entity = connect(url, **over).fetch_entity("USER", "a1")
    assert entity is not None
    return entity.id


def log_ins(service: Service) -> int:
    return sum(seen.path == "/login" for seen in service.seen)


def test_one_log_in_serves_all_requests_of_all_threads() -> None:
    server = SessionServer()
    with serving(server) as service:
        threads = [threading.Thread(target=fetch, args=(service.url,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert fetch(service.url) == "a1"
    assert server.log_ins == 1
    assert sum(seen.path != "/login" for seen in service.seen) == 7


def test_a_session_that_the_system_ended_is_renewed_once_for_a_request() -> None:
    server = SessionServer()
    with serving(server) as service:
        fetch(service.url)
        server.expire_sessions()
        assert fetch(service.url) == "a1"
        assert server.log_ins == 2
        server.answer = lambda _: Reply(401)
        with pytest.raises(CredentialsRefused):
            fetch(service.url)
        assert server.log_ins == 3, "a request logs in at most once"


def test_a_configured_answer_with_status_200_ends_a_session_too() -> None:
    server = SessionServer(
        read_credentials=lambda seen: tuple(seen.json()["variables"].values()),
        give_token=lambda token: Reply(200, {"data": {}}, {"vendure-auth-token": token}),
        refuse=lambda: Reply(200, FORBIDDEN),
        log_in_path="/admin-api",
    )
    query = "mutation($u:String!,$p:String!){login(username:$u,password:$p){__typename}}"
    over = {
        "log_in": {
            "path": "/admin-api",
            "body": {
                "query": query,
                "variables": {"u": {"expression": "username"}, "p": {"expression": "password"}},
            },
        },
        "token": {"header": "vendure-auth-token"},
        "refused": [{"status": 200, "when": "body.errors[0].extensions.code == 'FORBIDDEN'"}],
    }
    with serving(server) as service:
        assert fetch(service.url, **over) == "a1"
        server.expire_sessions()
        assert fetch(service.url, **over) == "a1"
        assert server.log_ins == 2
        server.answer = lambda _: Reply(200, FORBIDDEN)
        with pytest.raises(CredentialsRefused):
            fetch(service.url, **over)
        assert server.log_ins == 3


def test_a_template_builds_the_header_from_several_values() -> None:
    def read(seen: SeenRequest) -> str:
        word, _, text = seen.headers.get("authorization", "").partition(" ")
        user, number, token = b64decode(text).decode().split(":") if word == "Session" else ("", "", "")
        return token if (user, number) == (USERNAME, "7") else ""

    server = SessionServer(
        read_credentials=lambda seen: (seen.json()["params"][0], seen.json()["params"][1]["password"]),
        give_token=lambda token: Reply(200, {"id": 1, "result": [7, token, None]}),
        read_token=read,
    )
    over = {
        "log_in": {
            "path": "/login",
            "body": {
                "id": 1,
                "method": "common.db.login",
                "params": [{"expression": "username"}, {"password": {"expression": "password"}}, "en"],
            },
        },
        "token": {"path": "result[1]"},
        "values": {"user_id": "result[0]"},
        "template": "Session {base64:{username}:{user_id}:{token}}",
    }
    with serving(server) as service:
        assert fetch(service.url, **over) == "a1"


@pytest.mark.parametrize("encoding", ["json", "form"])
def test_expressions_and_templates_make_the_body_of_a_log_in(encoding: str) -> None:
    def read(seen: SeenRequest) -> tuple[str, ...]:
        sent = seen.json() if encoding == "json" else dict(parse_qsl(seen.body.decode()))
        assert sent["realm"] == "{acme}"
        is_right = sent["digest"] == hashlib.md5(PASSWORD.encode()).hexdigest()
        return sent["user"].removeprefix("acme/"), PASSWORD if is_right else ""

    body = {
        "user": {"template": "acme/{username}"},
        "digest": {"expression": "md5(password)"},
        "realm": "{acme}",
    }
    server = SessionServer(read_credentials=read)
    with serving(server) as service:
        log_in = {"path": "/login", "encoding": encoding, "body": body}
        assert fetch(service.url, log_in=log_in) == "a1"


@pytest.mark.submission
def test_a_log_in_whose_body_cannot_be_made_is_not_sent() -> None:
    body = {"password": {"expression": "abs(password)"}}
    with serving(SessionServer()) as service:
        with pytest.raises(SettingsInvalid) as caught:
            fetch(service.url, log_in={"path": "/login", "encoding": "form", "body": body})
        assert service.seen == []
    assert PASSWORD not in str(caught.value)


def test_a_form_log_in_gives_a_cookie() -> None:
    cookies = "theme=dark; Expires=Wed, 21 Oct 2026 07:28:00 GMT, sid={}; HttpOnly; Path=/"
    server = SessionServer(
        read_credentials=lambda seen: tuple(value for _, value in parse_qsl(seen.body.decode())),
        give_token=lambda token: Reply(303, None, {"Set-Cookie": cookies.format(token), "Location": "/"}),
        read_token=lambda seen: seen.headers.get("cookie", "").removeprefix("session="),
    )
    over = {"token": {"cookie": "sid"}, "cookie": "session"}
    over["log_in"] = {**SESSION["log_in"], "encoding": "form", "headers": {"X-Tenant": "acme"}}
    with serving(server) as service:
        assert fetch(service.url, **over) == "a1"
        assert service.seen[0].headers["content-type"] == "application/x-www-form-urlencoded"
        assert service.seen[0].headers["x-tenant"] == "acme"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("ROUTEID=.node1; path=/b1s, LANG=en", "ROUTEID=.node1; LANG=en; sid={}"),
        ("MYROUTEID=.node1", "sid={}"),
        # The system ends an old session first.
        ("ROUTEID=.old; path=/b1s, ROUTEID=.node1; path=/b1s", "ROUTEID=.node1; sid={}"),
        ("ROUTEID=deleted; Expires=Thu, 01 Jan 1970 00:00:01 GMT, ROUTEID=.node1", "ROUTEID=.node1; sid={}"),
        ("ROUTEID=; path=/b1s", "sid={}"),
        # It cannot take the place of the session.
        ("sid=forged", "sid={}"),
    ],
)
def test_further_cookies_of_the_log_in_are_sent_with_the_session(given: str, sent: str) -> None:
    server = SessionServer(
        give_token=lambda token: Reply(200, {"token": token}, {"Set-Cookie": f"{given}, theme=dark"}),
        read_token=lambda seen: seen.headers.get("cookie", "").rpartition("sid=")[2],
    )
    with serving(server) as service:
        assert fetch(service.url, cookie="sid", more_cookies=["ROUTEID", "LANG"]) == "a1"
        header = service.seen[-1].headers["cookie"]
        assert header == sent.format(header.rpartition("sid=")[2])


def test_a_further_cookie_that_cannot_be_sent_is_an_error() -> None:
    server = SessionServer(
        give_token=lambda token: Reply(200, {"token": token}, {"Set-Cookie": "ROUTEID=a b; path=/"})
    )
    with serving(server) as service, pytest.raises(UnreadableResponse, match="cannot be sent as a cookie"):
        fetch(service.url, cookie="sid", more_cookies=["ROUTEID"])


def test_none_of_many_cookies_that_the_system_repeats_is_in_a_record() -> None:
    others = {name: f"{name}-secret-of-a-cookie" for name in ("first", "second", "third", "fourth", "fifth")}
    given = ", ".join(f"{name}={value}; path=/" for name, value in others.items())
    server = SessionServer(
        give_token=lambda token: Reply(200, {"token": token}, {"Set-Cookie": given}),
        read_token=lambda seen: seen.headers.get("cookie", "").rpartition("sid=")[2],
        answer=lambda seen: Reply(
            200, {"id": "a1", **dict(one.split("=") for one in seen.headers["cookie"].split("; "))}
        ),
    )
    notebook = MemoryRecorder()
    with serving(server) as service:
        connect(service.url, notebook, cookie="sid", more_cookies=list(others)).fetch_entity("USER", "a1")
    shown = repr(notebook.exchanges)
    assert [value for value in (*others.values(), *server.sessions) if value in shown] == []


def test_a_refused_password_is_never_tried_again_until_a_person_tests_the_connection() -> None:
    server = SessionServer()
    with serving(server) as service:
        for _ in range(5):
            with pytest.raises(CredentialsRefused):
                fetch(service.url, password="wrong password")
        assert (server.log_ins, server.is_locked) == (1, False)
        with pytest.raises(CredentialsRefused, match="is not retried until"):
            fetch(service.url, password="wrong password")
        assert fetch(service.url) == "a1", "changed credentials are tried"
        with pytest.raises(CredentialsRefused, match="responded with 401"):
            connect(service.url, password="wrong password").renew_credentials()
        assert server.wrong == 2
        server.password = "wrong password"
        assert connect(service.url, password="wrong password").renew_credentials() is not None
        assert fetch(service.url, password="wrong password") == "a1"


def test_a_refusal_by_a_rule_or_an_answer_without_a_token_is_not_tried_again() -> None:
    answers: dict[str, Reply] = {
        "rule": Reply(200, {"token": "t0ken-of-error", "error": "INVALID_CREDENTIALS_ERROR"}),
        "status 400": Reply(400, {"error": "wrong"}),
        "none": Reply(200, {"error": "wrong"}),
        "another type": Reply(200, {"token": {"value": "x"}}),
        "a page": Reply(200, raw=b"<html>Wrong password</html>"),
        "a line end": Reply(200, {"token": "abc\r\nX-Evil: 1"}),
        "a space at the end": Reply(200, {"token": "abc "}),
        "no ASCII": Reply(200, {"token": "tökän"}),
        "a megabyte": Reply(200, {"token": "x" * 1_000_000}),
    }
    for name, answer in answers.items():
        server = SessionServer(give_token=lambda _, answer=answer: answer)
        over = {"log_in_refused": [{"status": 200, "when": "body.error && body.token"}]}
        with serving(server) as service:
            with pytest.raises((CredentialsRefused, UnreadableResponse)) as caught:
                fetch(service.url, **over)
            assert isinstance(caught.value, CredentialsRefused) is (name in ("rule", "status 400")), name
            with pytest.raises(CredentialsRefused, match="is not retried"):
                fetch(service.url, **over)
            assert server.log_ins == 1, name


def test_settings_that_read_another_token_are_used_at_once() -> None:
    """Neither the token of the settings before them, nor a refusal because it was missing, is kept."""

    def answer(seen: SeenRequest) -> Reply:
        if seen.path == "/login":
            return Reply(200, {"token": "wrong-token-1", "data": {"token": "right-token-1"}, "error": "none"})
        return Reply(200 if seen.headers["authorization"] == "Bearer right-token-1" else 403, {"id": "a1"})

    right = {"token": {"path": "data.token"}}
    rule = {"log_in_refused": [{"status": 200, "when": "body.error"}]}
    wrongs: list[dict[str, Any]] = [{}, {"token": {"path": "no.token"}}, {**right, **rule}]
    wrongs.append({**right, "values": {"tenant": "no.tenant"}, "template": "Bearer {tenant} {token}"})
    for wrong in wrongs:
        # At an address of its own: tokens are cached in the process.
        with serving(answer) as service:
            with pytest.raises(ConnectorError):
                fetch(service.url, **wrong)
            assert fetch(service.url, **right) == "a1", wrong


def test_a_shorter_lifetime_is_that_of_the_next_session() -> None:
    server = SessionServer()
    with serving(server) as service:
        assert fetch(service.url) == fetch(service.url) == "a1"
        assert fetch(service.url, lifetime=60) == fetch(service.url, lifetime=60) == "a1"
    assert server.log_ins == 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(503), SystemUnavailable),
        (Reply(429, None, {"Retry-After": "9"}), RequestThrottled),
        (Reply(404), ConnectorError),
    ],
)
def test_a_log_in_that_was_not_decided_is_tried_again(reply: Reply, kind: type[ConnectorError]) -> None:
    answers = iter([reply])
    server = SessionServer()
    with serving(lambda seen: next(answers, None) or server(seen)) as service:
        with pytest.raises(kind) as caught:
            fetch(service.url)
        assert caught.value.retry_after == (9.0 if reply.status == 429 else None)
        assert fetch(service.url) == "a1"


def test_password_and_token_are_in_no_record_and_no_error() -> None:
    def echo(seen: SeenRequest) -> Reply:
        return Reply(200, {"id": "a1", "said": list(seen.headers.values())}, {"Location": str(seen.headers)})

    server = SessionServer(answer=echo)
    notebook = MemoryRecorder()
    with serving(server) as service:
        connect(service.url, notebook).fetch_entity("USER", "a1")
        (token,) = server.sessions
        server.answer = lambda seen: Reply(422, {"message": f"no {seen.headers['authorization']}"})
        with pytest.raises(ConnectorError) as caught:
            connect(service.url, notebook).fetch_entity("USER", "a1")
    texts = [repr(notebook.sent), repr(notebook.exchanges), str(caught.value), str(caught.value.sentence)]
    assert token in repr(service.seen), "it was sent"
    assert PASSWORD in json.loads(service.seen[0].body)["password"]
    for text in texts:
        assert token not in text
        assert "corr" not in text
    assert {exchange.request.purpose for exchange in notebook.exchanges} == {"token", "fetch"}


def test_a_token_in_the_address_of_a_session_is_in_no_record() -> None:
    def give(token: str) -> Reply:
        return Reply(201, {"token": token}, {"Location": f"/sessions/{token}", "ETag": '"1"'})

    server, notebook = SessionServer(give_token=give), MemoryRecorder()
    with serving(server) as service:
        connect(service.url, notebook).fetch_entity("USER", "a1")
    (token,) = server.sessions
    assert notebook.exchanges[0].headers["etag"] == '"1"'
    assert token not in repr(notebook.exchanges)
