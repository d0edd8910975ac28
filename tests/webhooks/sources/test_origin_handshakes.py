"""The permission that a sender of CloudEvents asks for by OPTIONS (HTTP 1.1 Web Hooks for Event Delivery, section 4)."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from tests.webhooks.sources.handshake_limit import slow_handshake_limit
from webhooks.models import Receipt, Refusal, Source
from webhooks.receiving import refusals

CLIENT = Client(raise_request_exception=False)
ADDRESS = "/webhooks/asker"
# The examples of the specification.
ORIGIN = "eventemitter.example.com"
CALLBACK = "https://example.com/confirm?id=12345&key=...base64..."


@pytest.fixture(autouse=True)
def _database(database: None) -> Iterator[None]:
    yield
    refusals.reset_counts()


def create_source(**fields: Any) -> Source:
    changes = {"handshake": {"from": "origin"}, "scheme": "bearer", **fields}
    source = Source(slug="asker", name="Asker", **changes)
    source.full_clean()
    source.save()
    return source


def ask(origin: str = ORIGIN, method: str = "OPTIONS", **headers: str) -> Any:
    return CLIENT.generic(method, ADDRESS, headers={"WebHook-Request-Origin": origin, **headers})


def assert_refused(answer: Any) -> None:
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    assert not any(name.lower().startswith("webhook-") for name in answer.headers)


def test_the_origin_may_send_at_the_rate_of_the_source() -> None:
    create_source(requests_per_minute=100)
    answer = ask(**{"WebHook-Request-Rate": "120"})
    assert (answer.status_code, answer.content, answer["Allow"]) == (200, b"", "POST")
    assert answer["WebHook-Allowed-Origin"] == ORIGIN
    assert answer["WebHook-Allowed-Rate"] == "100"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "no-store"
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


def test_a_source_without_a_limit_allows_any_rate() -> None:
    create_source()
    for headers in ({}, {"WebHook-Request-Rate": "120"}, {"WebHook-Request-Rate": "9" * 400}):
        answer = ask(**headers)
        assert (answer.status_code, answer["WebHook-Allowed-Rate"]) == (200, "*")


def test_an_origin_is_returned_unchanged() -> None:
    create_source()
    for origin in ("eventgrid.azure.net", "localhost", "10.0.0.7:8080", "https://events.example.com"):
        assert ask(origin)["WebHook-Allowed-Origin"] == origin


def test_an_origin_that_is_no_dns_name_gets_no_permission() -> None:
    create_source()
    for origin in (
        "",
        "*",
        "a,b",
        "eventemitter.example.com, eventemitter.example.com",
        "<script>",
        "a\r\nSet-Cookie: b",
        "a\x00",
        "é.example",
        "https://example.com/path",
        "javascript:alert(1)",
        "user@example.com",
        "x" * 300,
    ):
        assert_refused(ask(origin))


def test_a_callback_is_never_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_connection(*_: Any, **__: Any) -> None:
        raise AssertionError("the hub calls the callback")

    create_source()
    monkeypatch.setattr(socket, "create_connection", refuse_connection)
    monkeypatch.setattr(socket, "getaddrinfo", refuse_connection)
    answer = ask(**{"WebHook-Request-Callback": CALLBACK})
    assert answer["WebHook-Allowed-Origin"] == ORIGIN
    assert "example.com/confirm" not in str(answer.headers) + answer.content.decode()


def test_neither_a_browser_nor_another_method_gets_a_permission() -> None:
    assert_refused(ask())  # of an unknown source
    create_source()
    assert_refused(ask(**{"Access-Control-Request-Method": "POST", "Origin": "https://evil.example"}))
    for method in ("GET", "HEAD", "PUT"):
        assert_refused(ask(method=method))
    answer = ask(method="POST", **{"Content-Type": "application/json"})
    assert answer.status_code == 401
    assert "WebHook-Allowed-Origin" not in answer


@pytest.mark.parametrize("changes", [{"handshake": {}}, {"is_enabled": False}])
def test_a_source_that_answers_no_handshake_gives_no_permission(changes: dict[str, Any]) -> None:
    create_source(**changes)
    assert_refused(ask())


def test_requests_are_limited_and_listed() -> None:
    source = create_source()
    with slow_handshake_limit() as burst:
        statuses = [ask().status_code for _ in range(burst + 5)]
    assert statuses[: burst - 1] == [200] * (burst - 1)
    assert statuses[-1] == 429
    refusals.refusal_counts.flush()
    row = Refusal.objects.get(code="handshake")
    assert (row.source, row.times) == (source, statuses.count(200))
    assert ORIGIN not in str(row.__dict__)
    assert not Receipt.objects.exists()
