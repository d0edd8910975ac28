"""Requests through the web server, which joins and drops headers, reads lengths and chunks, and cuts paths itself."""

import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.support.hub import ANNA, EXAMPLE, SIGNING_SECRET
from tests.support.processes.hub_processes import Reply, RunningHub, enter_secret, running_hub

pytestmark = [pytest.mark.concurrent, pytest.mark.one_database, pytest.mark.submission]

BODY = json.dumps({"id": "X1", "entityType": "DEVICE", "eventType": "UPDATE"}).encode()
HMAC = {
    "header": "X-Signature",
    "time": "t",
    "signature": "v1",
    "signed": ["{time}", ".", "{body}"],
    "window": 3600,
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with (
        IdentityService(secret=SIGNING_SECRET) as identity,
        ShopService() as shop,
        running_hub(Path(tmp_path_factory.mktemp("wire")), identity, shop) as hub,
    ):
        yield hub


def change(hub: RunningHub, slug: str, **values: Any) -> None:
    columns = ", ".join(
        f"{name} = '{value if isinstance(value, str) else json.dumps(value)}'"
        for name, value in values.items()
    )
    hub.write(f"UPDATE webhooks_source SET {columns} WHERE slug = '{slug}'")


def request(hub: RunningHub, line: str, *headers: str, body: bytes = b"") -> Reply:
    head = [
        f"{line} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
    ]
    return hub.raw("\r\n".join([*head, "", ""]).encode() + body)


def test_a_handshake_is_answered_by_get_and_by_nothing_else(running: RunningHub) -> None:
    path, header = "/webhooks/aurora-unsigned", "X-Okta-Verification-Challenge: c-1"
    assert request(running, f"GET {path}", header).status == 405
    change(running, "aurora-unsigned", handshake={"from": "header", "name": "x-okta-verification-challenge"})
    reply = request(running, f"GET {path}", header)
    assert (reply.status, reply.body) == (200, b'{"verification": "c-1"}')
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert request(running, f"HEAD {path}", header).status == 405
    # Two of one name are joined by the server: the challenge is then the text of both, and still printable.
    assert json.loads(request(running, f"GET {path}", header, header).body) == {"verification": "c-1,c-1"}
    change(running, "aurora-unsigned", handshake={})


def test_a_signature_that_is_sent_twice_is_refused(running: RunningHub) -> None:
    change(running, "aurora", scheme="hmac", scheme_settings=HMAC)
    enter_secret(running, "aurora", SIGNING_SECRET)
    at = str(int(time.time()))
    signature = hmac.digest(SIGNING_SECRET.encode(), at.encode() + b"." + BODY, "sha256").hex()
    header, json_type = f"X-Signature: t={at},v1={signature}", "Content-Type: application/json"
    line = "POST /webhooks/aurora"
    assert request(running, line, json_type, header, body=BODY).status == 200
    assert request(running, line, json_type, header, header, body=BODY).status == 401
    assert request(running, line, json_type, header.replace("X-", "X_"), body=BODY).status in (400, 401)
    assert request(running, line, json_type, header, body=BODY + b" ").status == 401


def code_of(reply: Reply) -> tuple[int, str | None]:
    """Return status and code of a sound answer."""
    assert reply.headers["Content-Type"] in ("application/json", "application/problem+json")
    assert (reply.headers["Cache-Control"], reply.headers["X-Content-Type-Options"]) == (
        "no-store",
        "nosniff",
    )
    return reply.status, json.loads(reply.body).get("code")


def in_chunks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


@pytest.mark.promise("T11")
def test_the_limit_of_a_body_holds_with_a_length_and_in_chunks(running: RunningHub) -> None:
    for extra, expected in ((0, (200, None)), (1, (413, "too-large"))):
        body = EXAMPLE[:-1] + b" " * (65_536 - len(EXAMPLE) + extra) + b"}"
        assert [code_of(running.send(sent)) for sent in (body, in_chunks(body, 4_096))] == [expected] * 2
    change(running, "aurora-unsigned", webhook_format={"max_bytes": 1_048_576})
    for extra, expected in ((0, (200, None)), (1, (413, "too-large"))):
        body = BODY + b" " * (1_048_576 - len(BODY) + extra)
        assert [code_of(running.send(sent)) for sent in (body, in_chunks(body, 50_000))] == [expected] * 2
    change(running, "aurora-unsigned", webhook_format={})
    # Refused before the body comes.
    head = "POST /webhooks/aurora-unsigned HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    reply = running.raw(f"{head}Connection: close\r\nContent-Length: 10000000000\r\n\r\n".encode())
    assert code_of(reply) == (413, "too-large")


@pytest.mark.promise("T4")
def test_a_path_or_a_header_of_unusual_form_is_not_the_one_that_it_resembles(running: RunningHub) -> None:
    json_type = "Content-Type: application/json"
    for path in (
        "//",
        "//webhooks/aurora-unsigned",
        "/webhooks//aurora-unsigned",
        "/webhooks/%2e%2e",
        "/%2e",
    ):
        assert code_of(request(running, f"POST {path}", json_type, body=EXAMPLE))[0] == 404
    assert code_of(request(running, "POST /webhooks/aurora-unsigned", json_type)) == (400, "not-json")
    headers = ("webhook_id: msg_1", "webhook_timestamp: 1", "webhook_signature: v1,a", json_type)
    assert code_of(request(running, "POST /webhooks/aurora", *headers, body=EXAMPLE)) == (
        401,
        "bad-signature",
    )


def test_a_body_is_empty_however_its_length_is_declared(running: RunningHub) -> None:
    """Of a source that reads its events from headers."""
    webhook_format = {
        "allow_empty_body": True,
        "id": 'headers."x-resource"',
        "entity_type": {"constant": "DEVICE"},
        "event_type": {"constant": "UPDATE"},
    }
    change(running, "aurora-unsigned", webhook_format=webhook_format)
    head = [
        "POST /webhooks/aurora-unsigned HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"X-Resource: {ANNA}",
    ]
    for framing, body, status in (
        (("Content-Length: 000",), b"", 200),
        ((), b"", 200),
        (("Transfer-Encoding: chunked",), b"0\r\n\r\n", 200),
        (("Content-Type: application/json; utf-8", "Content-Length: 0"), b"", 200),
        (("Content-Type: text/html", "Content-Length: 0"), b"", 200),
        (("Content-Length: 0", "Content-Encoding: gzip"), b"", 415),
        (("Transfer-Encoding: chunked",), b"1\r\n \r\n0\r\n\r\n", 415),
    ):
        reply = running.raw("\r\n".join([*head, *framing, "", ""]).encode() + body)
        assert reply.status == status, framing
    change(running, "aurora-unsigned", webhook_format={})
