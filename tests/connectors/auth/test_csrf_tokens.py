"""A system that wants a token with each write, which it gives to a read: fetched once, sent with its cookies, renewed."""

import threading
from typing import Any

import pytest

from connectors.auth import csrf_tokens, log_in_guard, token_cache
from connectors.contracts.errors import (
    ConnectorError,
    CredentialsRefused,
    RequestThrottled,
    SystemUnavailable,
    UnreadableResponse,
)
from tests.support.http.connectors import MemoryRecorder, make_operations, shop
from tests.support.http.servers import Reply, SeenRequest, Service, serving
from tests.support.targets.csrf_gateway import PASSWORD, USER, CsrfGateway

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

BASIC: dict[str, Any] = {"scheme": "basic", "csrf": {"path": "/odata/"}}
SETTINGS = {
    "entities": {"USER": make_operations("/odata/users")},
    "headers": {"sap-client": "100"},
    "error": {"sentence": "error.message"},
}


def connect(service: Service, notebook: MemoryRecorder | None = None, **over: Any) -> Any:
    return shop(
        service.url,
        notebook,
        **{
            "authentication": BASIC,
            "credentials": {"username": USER, "password": PASSWORD},
            "settings": SETTINGS,
            "deadline": 60.0,
            **over,
        },
    )


def write(target: Any, key: str = "k1") -> Any:
    return target.create_record("USER", {"email": "a@b.test"}, key)


def test_one_token_serves_all_writes_of_all_threads() -> None:
    gateway = CsrfGateway()
    with serving(gateway.answer) as service:
        threads = [threading.Thread(target=lambda: write(connect(service))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert write(connect(service)).id == "7"
    assert (gateway.fetches, len(gateway.live)) == (1, 7)


def test_every_cookie_of_the_answer_is_sent_and_the_headers_of_the_connection_too() -> None:
    gateway = CsrfGateway()
    with serving(gateway.answer) as service:
        write(connect(service))
        fetch, create = service.seen
    assert (fetch.method, fetch.headers["x-csrf-token"], fetch.headers["sap-client"]) == (
        "GET",
        "Fetch",
        "100",
    )
    assert create.headers["authorization"] == fetch.headers["authorization"]
    assert create.headers["cookie"].startswith("sap-usercontext=sap-client=100; sap-XSRF_ABC=")


def test_a_token_that_has_ended_is_fetched_again_and_the_write_sent_once_more() -> None:
    gateway = CsrfGateway()
    with serving(gateway.answer) as service:
        target = connect(service)
        write(target)
        gateway.tokens.clear()
        write(target, "k2")
        assert target.get_record("USER", "2") is not None
    assert (gateway.fetches, len(gateway.live)) == (2, 2)


def test_a_test_of_the_credentials_fetches_a_token_and_the_next_write_sends_it() -> None:
    gateway = CsrfGateway()
    with serving(gateway.answer) as service:
        target = connect(service)
        write(target)
        gateway.tokens.clear()
        del service.seen[:]
        target.renew_credentials()
        write(target, "k2")
        assert [seen.method for seen in service.seen] == ["GET", "POST"]


def test_a_system_that_refuses_every_token_is_not_called_endlessly() -> None:
    gateway = CsrfGateway(is_stubborn=True)
    with serving(gateway.answer) as service:
        with pytest.raises(CredentialsRefused) as caught:
            write(connect(service))
        assert [seen.method for seen in service.seen] == ["GET", "POST", "GET", "POST"]
    assert caught.value.sentence == "CSRF token validation failed"


def test_a_password_that_was_changed_is_tried_once_for_each_request() -> None:
    gateway = CsrfGateway()
    with serving(gateway.answer) as service:
        target = connect(service)
        write(target)
        gateway.password = "changed-password"
        del service.seen[:]
        for _ in range(3):
            with pytest.raises(CredentialsRefused):
                write(target)
        assert [seen.method for seen in service.seen] == ["POST", "GET", "GET", "GET"]
        # The system has the old password again.
        gateway.password = PASSWORD
        write(target)


def test_other_credentials_have_a_token_of_their_own() -> None:
    gateway = CsrfGateway()
    with serving(gateway.answer) as service:
        write(connect(service))
        gateway.password = "changed-password"
        write(connect(service, credentials={"username": USER, "password": gateway.password}), "k2")
    assert gateway.fetches == 2


def test_neither_token_nor_cookie_is_on_record() -> None:
    gateway, notebook = CsrfGateway(), MemoryRecorder()

    def repeat(seen: SeenRequest) -> Reply:
        if seen.method == "GET":
            return gateway.answer(seen)
        return Reply(400, {"error": {"message": f"you sent {dict(seen.headers)}"}})

    with serving(repeat) as service, pytest.raises(ConnectorError) as caught:
        write(connect(service, notebook))
    shown = f"{caught.value} {caught.value.sentence} {notebook.sent!r} {notebook.exchanges!r}"
    assert "***" in shown
    [(token, cookie)] = gateway.tokens.items()
    assert token not in shown
    assert cookie.partition("=")[2] not in shown
    assert PASSWORD not in shown


def test_an_answer_without_a_token_sends_no_write() -> None:
    cases: list[tuple[Reply, type[ConnectorError]]] = [
        (Reply(200, {"d": {}}), UnreadableResponse),
        (Reply(200, {"d": {}}, {"X-CSRF-Token": "a\u00e9"}), UnreadableResponse),
        (Reply(200, {"d": {}}, {"X-CSRF-Token": "t" * 9_000}), UnreadableResponse),
        (Reply(302, None, {"Location": "/login"}), UnreadableResponse),
        (Reply(404), UnreadableResponse),
        (Reply(401), CredentialsRefused),
        (Reply(503), SystemUnavailable),
        (Reply(429, None, {"Retry-After": "7"}), RequestThrottled),
    ]
    for reply, kind in cases:
        with serving(lambda _, reply=reply: reply) as service:
            with pytest.raises(kind) as caught:
                write(connect(service))
            assert len(service.seen) == 1
        assert not caught.value.maybe_applied
        assert caught.value.retry_after == (7.0 if kind is RequestThrottled else None)


@pytest.mark.parametrize(
    ("csrf", "reply"),
    [
        (
            {"path": "/crumb", "header": "Jenkins-Crumb", "token": "body.crumb"},
            Reply(200, {"crumb": "c0ffee"}),
        ),
        ({"path": "/session/token", "header": "Jenkins-Crumb", "token": "body"}, Reply(200, raw=b"c0ffee\n")),
    ],
)
def test_the_token_may_be_in_the_body(csrf: dict[str, Any], reply: Reply) -> None:
    def answer(seen: SeenRequest) -> Reply:
        if seen.path == csrf["path"]:
            return reply
        return Reply(201, {"id": "1"}) if seen.headers.get("jenkins-crumb") == "c0ffee" else Reply(403)

    with serving(answer) as service:
        assert write(connect(service, authentication={"scheme": "basic", "csrf": csrf})).id == "1"


def test_a_rule_may_say_that_the_token_is_refused() -> None:
    tokens = iter(["first-token", "second-token"])

    def answer(seen: SeenRequest) -> Reply:
        if seen.method == "GET":
            return Reply(200, {"crumb": next(tokens)})
        is_valid = seen.headers["x-csrf-token"] == "second-token"
        return Reply(201, {"id": "1"}) if is_valid else Reply(400, {"error": {"code": "badtoken"}})

    csrf = {"path": "/odata/", "token": "body.crumb", "refused": [{"when": "body.error.code == 'badtoken'"}]}
    with serving(answer) as service:
        assert write(connect(service, authentication={"scheme": "basic", "csrf": csrf})).id == "1"


@pytest.mark.parametrize(("status", "place"), [(200, "refused"), (403, "answers")])
def test_a_session_that_has_ended_is_renewed_when_the_token_is_fetched(
    status: int, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system says with another status than 401 that the session has ended, and first to the read of the token."""
    monkeypatch.setattr(log_in_guard, "_guard", log_in_guard.MemoryGuard())
    log_ins, has_ended = 0, False

    def answer(seen: SeenRequest) -> Reply:
        nonlocal log_ins, has_ended
        if seen.path == "/login":
            log_ins, has_ended = log_ins + 1, False
            return Reply(200, {}, {"Set-Cookie": f"SESS=session-{log_ins}"})
        more = "" if seen.path == "/token" else "; lang=en"
        if has_ended or seen.headers["cookie"] != f"SESS=session-{log_ins}{more}":
            return Reply(status, {"error": {"message": "session expired"}})
        if seen.path == "/token":
            return Reply(200, {"token": f"token-{log_ins}"}, {"Set-Cookie": "lang=en"})
        is_right = seen.headers["x-csrf-token"] == f"token-{log_ins}"
        return Reply(201 if is_right else 403, {"id": "1"})

    ended = "body.error.message == 'session expired'"
    session: dict[str, Any] = {
        "scheme": "session",
        "log_in": {
            "path": "/login",
            "body": {"name": {"expression": "username"}, "pass": {"expression": "password"}},
        },
        "token": {"cookie": "SESS"},
        "cookie": "SESS",
        "csrf": {"path": "/token", "token": "body.token"},
    }
    settings = SETTINGS
    if place == "refused":
        session["refused"] = [{"when": ended}]
    else:
        settings = {**SETTINGS, "answers": [{"means": "credentials", "when": ended}]}
    with serving(answer) as service:
        target = connect(service, authentication=session, settings=settings)
        write(target)
        # The token is at its end, and so is the session.
        has_ended = True
        for slot in token_cache._slots.values():
            slot.usable_until = 0.0 if "token-1" in slot.token.value else slot.usable_until
        assert write(target, "k2").id == "1"
        paths = [seen.path for seen in service.seen[3:]]
    assert paths == ["/token", "/login", "/token", "/odata/users"]


def test_a_session_that_the_read_of_the_token_refuses_for_ever_is_renewed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_in_guard, "_guard", log_in_guard.MemoryGuard())

    def answer(seen: SeenRequest) -> Reply:
        return Reply(200, {"error": "session expired"}, {"Set-Cookie": "SESS=always-another-one"})

    session = {
        "scheme": "session",
        "log_in": {"path": "/login", "body": {"pass": {"expression": "password"}}},
        "token": {"cookie": "SESS"},
        "cookie": "SESS",
        "refused": [{"when": "body.error == 'session expired'"}],
        "csrf": {"path": "/token", "token": "body.token"},
    }
    with serving(answer) as service:
        with pytest.raises(CredentialsRefused):
            write(connect(service, authentication=session))
        assert [seen.path for seen in service.seen] == ["/login", "/token", "/login", "/token"]


def test_cookies_are_read_from_the_joined_headers() -> None:
    cases: list[tuple[str, dict[str, str]]] = [
        ("", {}),
        ("a=1; path=/; expires=Wed, 21 Oct 2026 07:28:00 GMT; secure, b=x=y; path=/", {"a": "1", "b": "x=y"}),
        ('a="quoted"; HttpOnly, a=last', {"a": "last"}),
        ("a=1 2; path=/", {}),
        ("=1, b", {}),
        (", ".join(f"c{number}=1" for number in range(50)), {f"c{number}": "1" for number in range(30, 50)}),
    ]
    for header, cookies in cases:
        assert csrf_tokens._find_cookies(header) == cookies
