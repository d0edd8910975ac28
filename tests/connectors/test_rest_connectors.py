"""Requests of REST connectors, and their reading of the answers."""

import json
import re
import socket
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from connectors.contracts.errors import (
    ConnectorError,
    RequestRejected,
    SystemUnavailable,
    UnreadableResponse,
    UnsafeRequest,
)
from connectors.contracts.types import FieldError, Record
from connectors.exchange import OutgoingRequest
from tests.support.http.connectors import MemoryRecorder, identity, shop, shop_settings
from tests.support.http.servers import Reply, SeenRequest, raw_serving, read_request, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]


def test_a_refused_token_is_renewed_once_and_shows_in_no_record() -> None:
    numbers = count(1)

    def answer(seen: SeenRequest) -> Reply:
        if seen.path == "/oauth/token":
            return Reply(200, {"access_token": f"token{next(numbers)}", "expires_in": 3600})
        return Reply(401 if seen.headers["authorization"] == "Bearer token1" else 200, {"id": "a1"})

    notebook = MemoryRecorder()
    with serving(answer) as service:
        connector = identity(
            service.url,
            notebook,
            authentication={"scheme": "oauth2-client-credentials"},
            credentials={"client_id": "me", "client_secret": "hush"},
        )
        assert connector.fetch_entity("USER", "a1")
        assert connector.fetch_entity("USER", "a1")
    purposes = [(one.request.purpose, one.status) for one in notebook.exchanges]
    assert purposes == [("token", 200), ("fetch", 401), ("token", 200), ("fetch", 200), ("fetch", 200)]
    assert not any(secret in repr(notebook) for secret in ("hush", "token1", "token2"))


def test_a_search_that_ignores_its_filter_finds_only_what_matches() -> None:
    items = [{"id": 1, "email": "A@b.test"}, {"id": 2, "email": "other@b.test"}, {"id": 3}]
    with serving(lambda _: Reply(200, {"items": items})) as service:
        assert shop(service.url).search_records("USER", "email", "a@B.test") == (Record("1", items[0]),)
        assert service.seen[0].query == {"email": "a@B.test"}


def test_a_rejection_contains_the_sanitized_error_message_of_the_system() -> None:
    errors = [{"field": "email", "code": "duplicate", "message": "m"}]
    with serving(lambda _: Reply(422, {"message": "No\x00  way", "errors": errors})) as service:  # noqa: SIM117
        with pytest.raises(RequestRejected) as caught:
            shop(service.url).create_record("USER", {"email": "private@b.test"}, "k")
    assert caught.value.sentence == "No way"
    assert caught.value.fields == (FieldError("email", "duplicate", "m"),)
    assert str(caught.value) == "POST /api/customers: responded with 422"


def test_a_status_becomes_an_error() -> None:
    cases: list[tuple[int, str, bool, bool]] = [
        (400, "target-rejected", False, False), (401, "target-credentials", True, False),
        (403, "target-credentials", True, False), (404, "target-rejected", False, False),
        (408, "target-unavailable", True, True), (429, "target-throttled", True, False),
        (500, "target-unavailable", True, True), (503, "target-unavailable", True, True),
        (302, "target-garbled", True, True), (200, "target-garbled", True, True),
    ]  # fmt: skip
    for status, code, retryable, applied in cases:
        notebook = MemoryRecorder()
        with serving(lambda _, status=status: Reply(status, {}, {"Retry-After": "9999"})) as service:  # noqa: SIM117
            with pytest.raises(ConnectorError) as caught:
                shop(service.url, notebook).create_record("USER", {}, "k")
        error = caught.value
        assert (error.code, error.retryable, error.maybe_applied) == (code, retryable, applied)
        assert error.retry_after == (None if status == 200 else 3600)


@pytest.mark.parametrize("status", [404, 410])
def test_a_deleted_record_reads_as_none_and_can_be_deleted_again(status: int) -> None:
    with serving(lambda _: Reply(status, {})) as service:
        assert identity(service.url).fetch_entity("USER", "a1") is None
        assert shop(service.url).get_record("USER", "1") is None
        shop(service.url).delete_record("USER", "1", "k")


@pytest.mark.parametrize("status", [404, 410])
def test_a_record_that_is_still_there_after_a_404_for_its_deletion_was_not_deleted(status: int) -> None:
    """Such a deletion must not be reported as done: its path is mistyped, or the client may not delete."""

    def answer(seen: SeenRequest) -> Reply:
        return Reply(status, {}) if seen.method == "DELETE" else Reply(200, {"id": "1", "email": "a"})

    with serving(answer) as service, pytest.raises(UnreadableResponse, match="still there") as caught:
        shop(service.url).delete_record("USER", "1", "k")
    assert caught.value.maybe_applied is True


@pytest.mark.parametrize(
    ("body", "header", "sentence"),
    [
        ({"message": "From the body"}, "From the header", "From the body"),
        (None, "hub-t0ken is not enough", "*** is not enough"),
        ({}, "x" * 400, "x" * 299 + "…"),
        ({}, None, None),
    ],
)
def test_the_message_of_an_error_may_be_in_a_header(
    body: Any, header: str | None, sentence: str | None
) -> None:
    headers = {"X-Status-Reason": header} if header else {}
    error = {"sentence": "message", "header": "X-Status-Reason"}
    credentials = {"token": "hub-t0ken"}
    with serving(lambda _: Reply(400, body, headers)) as service:
        target = shop(service.url, settings=shop_settings() | {"error": error}, credentials=credentials)
        with pytest.raises(RequestRejected) as refused:
            target.create_record("USER", {"email": "a@x"}, "key")
        users = {"entities": {"USER": {"path": "/users/{id}"}}, "error": error}
        with pytest.raises(ConnectorError) as failed:
            identity(service.url, settings=users, credentials=credentials).fetch_entity("USER", "a1")
    assert (refused.value.sentence, failed.value.sentence) == (sentence, sentence)


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        (
            {"error": {"code": "taken", "message": "Email has been taken"}},
            RequestRejected,
            "Email has been taken",
        ),
        ({"error": {"code": "busy"}}, SystemUnavailable, None),
        ({"error": None, "id": "7"}, None, None),
    ],
)
@pytest.mark.parametrize("has_rules", [True, False])
def test_the_example_of_the_manual_recognizes_errors_answered_with_200(
    answer: dict[str, Any], error: type[ConnectorError] | None, sentence: str | None, has_rules: bool
) -> None:
    """Without its rules each of them is unreadable, as the manual says."""
    manual = (Path(__file__).parents[2] / "docs" / "connect.md").read_text("utf-8")
    blocks = re.findall(r"```json\n(.*?)```", manual, re.DOTALL)
    [settings] = [json.loads(block) for block in blocks if "body.error.code == 'busy'" in block]
    if not has_rules:
        del settings["answers"]
    with serving(lambda _: Reply(200, answer)) as service:
        target = shop(service.url, settings=settings)
        expected = error if has_rules else error and UnreadableResponse
        with pytest.raises(expected) if expected else nullcontext() as caught:
            target.update_record("USER", "7", {"email": "a@x"}, "key")
    if error and has_rules:
        assert caught is not None
        assert caught.value.sentence == sentence


LOG_IN_PAGE = b"\n<!DOCTYPE html><html><title>Log in</title></html>"
FAILURES = [
    b'{"error": "busy"}',
    b'{"errors": [{"message": "busy"}], "data": null}',
    b'{"success": false, "message": "busy"}',
    b'{"ok": false}',
    b"false",
    LOG_IN_PAGE,
]
SUCCESSES = [
    b"",
    b"null",
    b'{"errors": [], "error": null}',
    b'{"success": true}',
]


@pytest.mark.submission
@pytest.mark.parametrize("write", ["update_record", "delete_record"])
@pytest.mark.parametrize(
    ("body", "has_rule", "is_failure"),
    [
        *((body, False, True) for body in FAILURES),
        (FAILURES[0], True, False),
        *((body, False, False) for body in SUCCESSES),
    ],
)
def test_a_2xx_that_states_a_failure_is_no_success_without_a_rule(
    write: str, body: bytes, has_rule: bool, is_failure: bool
) -> None:
    settings = shop_settings() | ({"answers": [{"status": "2xx", "means": "done"}]} if has_rule else {})
    with serving(lambda _: Reply(200, raw=body)) as service:
        target = shop(service.url, settings=settings)
        values = ({"email": "a@x"},) if write == "update_record" else ()
        with pytest.raises(UnreadableResponse) if is_failure else nullcontext() as caught:
            getattr(target, write)("USER", "7", *values, "key")
    if is_failure:
        assert caught is not None
        assert caught.value.maybe_applied


def test_a_new_record_with_an_unusable_id_is_no_success() -> None:
    cases: list[str] = ["gid://shop/Customer/7", ".7", "käyttäjä", "a" * 129]
    for record_id in cases:
        with serving(lambda _, record_id=record_id: Reply(201, {"id": record_id})) as service:
            with pytest.raises(UnsafeRequest) as caught:
                shop(service.url).create_record("USER", {"email": "a@x"}, "key")
            assert caught.value.maybe_applied
            with pytest.raises(UnsafeRequest):
                shop(service.url).get_record("USER", record_id)


@pytest.mark.promise("I3", "T16")
@pytest.mark.parametrize("step", ["record_request", "check_before_sending"])
def test_a_recorder_can_stop_a_request(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(MemoryRecorder):
        pass

    def refuse(*_: Any) -> None:
        raise LookupError

    monkeypatch.setattr(Refusing, step, refuse)
    with serving(lambda _: Reply(200, {})) as service:
        with pytest.raises(LookupError):
            shop(service.url, Refusing()).delete_record("USER", "1", "k")
        assert service.seen == []


def test_only_writes_are_checked_again_before_they_are_sent() -> None:
    checked = []

    class Checking(MemoryRecorder):
        def check_before_sending(self, request: OutgoingRequest) -> None:
            checked.append(request.method)

    with serving(lambda _: Reply(200, {"id": "1", "email": "a@x"})) as service:
        connector = shop(service.url, Checking())
        assert connector.get_record("USER", "1") is not None
        connector.update_record("USER", "1", {"email": "b@x"}, "k")
        assert [seen.method for seen in service.seen] == ["GET", *checked]
        assert len(checked) == 1


PROBE = {"path": "/status", "query": {"deep": "1"}}
LIST = {"path": "/some", "result": "items"}
SEARCH = {"path": "/s", "query": {"q": "{value}"}, "result": "items", "fields": ["external_id"]}


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        ({"probe": PROBE, "list": LIST, "search": SEARCH}, ["/status"]),
        ({"list": LIST, "search": SEARCH}, ["/some"]),
        ({"search": SEARCH, "list": None}, ["/s"]),
        ({"search": None, "list": None}, ["/api/customers/hub-connection-test"]),
    ],
)
def test_a_probe_of_a_target_is_one_read_that_concerns_no_record(
    settings: dict[str, Any], paths: list[str]
) -> None:
    def respond(seen: SeenRequest) -> Reply:
        return Reply(404) if "hub-connection-test" in seen.path else Reply(200, {"items": []})

    with serving(respond) as service:
        users = shop_settings(**settings)["entities"]["USER"]
        shop(service.url, settings={"entities": {"USER": users}}).probe_system()
        assert [(seen.method, seen.path) for seen in service.seen] == [("GET", path) for path in paths]


def test_a_probe_of_a_system_that_is_down_raises_its_failure() -> None:
    with serving(lambda _: Reply(503)) as service:
        for connector in (shop(service.url), identity(service.url)):
            with pytest.raises(SystemUnavailable):
                connector.probe_system()


@pytest.mark.concurrent
def test_each_byte_that_was_sent_is_counted() -> None:
    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        seen.append(read_request(connection))
        # Otherwise the second request would be tried on the connection that is closed here.
        connection.sendall(b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\n{"id":1}')

    notebook = MemoryRecorder()
    with raw_serving(behave) as url:
        shop(url, notebook).update_record("USER", "1", {"email": "b@x"}, "k")
        shop(url, notebook).get_record("USER", "1")
    assert [exchange.sent_bytes for exchange in notebook.exchanges] == [len(request) for request in seen]
    assert len(seen) == 2
