"""Handshakes, response formats and repeated headers through the web server, which joins and drops headers itself."""

import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.support.hub import SIGNING_SECRET
from tests.support.processes.hub_processes import Reply, RunningHub, running_hub

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


def test_an_origin_gets_its_permission_by_options_and_a_browser_does_not(running: RunningHub) -> None:
    path, header = "/webhooks/aurora-unsigned", "WebHook-Request-Origin: eventemitter.example.com"
    assert request(running, f"OPTIONS {path}", header).status == 405
    change(running, "aurora-unsigned", handshake={"from": "origin"}, requests_per_minute=100)
    reply = request(running, f"OPTIONS {path}", header, "WebHook-Request-Rate: 120")
    assert (reply.status, reply.body, reply.headers["Allow"]) == (200, b"", "POST")
    assert reply.headers["WebHook-Allowed-Origin"] == "eventemitter.example.com"
    assert reply.headers["WebHook-Allowed-Rate"] == "100"
    for refused in ([header, header], [header, "Access-Control-Request-Method: POST"], []):
        reply = request(running, f"OPTIONS {path}", *refused)
        assert (reply.status, reply.headers["WebHook-Allowed-Origin"]) == (405, None)
    change(running, "aurora-unsigned", handshake={})
    running.write("UPDATE webhooks_source SET requests_per_minute = NULL WHERE slug = 'aurora-unsigned'")


def test_a_challenge_is_answered_with_its_hmac(running: RunningHub) -> None:
    handshake = {"from": "query", "name": "crc_token", "hmac": {"field": "response_token"}}
    change(running, "aurora", scheme="hmac", scheme_settings=HMAC, handshake=handshake)
    reply = request(running, "GET /webhooks/aurora?crc_token=c-1%2B%3D")
    digest = hmac.digest(SIGNING_SECRET.encode(), b"c-1+=", "sha256").hex()
    assert json.loads(reply.body) == {"verification": "c-1+=", "response_token": digest}
    assert request(running, "GET /webhooks/aurora?crc_token=%7B%7D").status == 405
    change(running, "aurora", handshake={})


def test_a_failure_in_another_format_is_sent_exactly_as_stored(running: RunningHub) -> None:
    change(running, "aurora-unsigned", response_format={"format": "kratos"})
    reply = running.send(b"{}")
    assert (reply.status, reply.headers["Content-Type"]) == (400, "application/json")
    assert list(json.loads(reply.body)) == ["messages"]
    change(running, "aurora-unsigned", response_format={"format": "empty"})
    reply = running.send(b"{}")
    assert (reply.status, reply.body) == (400, b"")
    change(running, "aurora-unsigned", response_format={"format": "zitadel"})
    assert running.send(BODY).body == b""
    change(running, "aurora-unsigned", response_format={})


def test_a_signature_that_is_sent_twice_is_refused(running: RunningHub) -> None:
    change(running, "aurora", scheme="hmac", scheme_settings=HMAC)
    at = str(int(time.time()))
    signature = hmac.digest(SIGNING_SECRET.encode(), at.encode() + b"." + BODY, "sha256").hex()
    header, json_type = f"X-Signature: t={at},v1={signature}", "Content-Type: application/json"
    line = "POST /webhooks/aurora"
    assert request(running, line, json_type, header, body=BODY).status == 200
    assert request(running, line, json_type, header, header, body=BODY).status == 401
    assert request(running, line, json_type, header.replace("X-", "X_"), body=BODY).status in (400, 401)
    assert request(running, line, json_type, header, body=BODY + b" ").status == 401
