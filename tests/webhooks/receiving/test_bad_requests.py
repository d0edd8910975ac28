"""Requests that are refused before their body: path, method, size, type, headers; in process and over a socket."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.support.http.machine_answers import CANARY, assert_sound_answer
from tests.support.hub import EXAMPLE, SIGNING_SECRET
from tests.support.processes.hub_processes import Reply, RunningHub, running_hub
from webhooks.models import Receipt, Refusal, Source

CLIENT = Client(raise_request_exception=False)
TYPE = {"Content-Type": "application/json"}
IGNORED = json.dumps({"id": "X1", "entityType": "DEVICE", "eventType": "UPDATE"}).encode()


@pytest.fixture
def source(database: None) -> Source:
    return Source.objects.create(slug="sender", name="Sender", scheme="none")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with (
        IdentityService(secret=SIGNING_SECRET) as identity,
        ShopService() as shop,
        running_hub(Path(tmp_path_factory.mktemp("running")), identity, shop) as hub,
    ):
        yield hub


def send(method: str = "POST", path: str = "/webhooks/sender", body: bytes = IGNORED, **headers: str) -> Any:
    return CLIENT.generic(method, path, body, headers=TYPE | headers)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/webhooks", "unknown-path"),
        ("/webhooks/", "unknown-path"),
        ("/webhooks/sender/more", "unknown-path"),
        ("/webhooks/sender//", "unknown-path"),
        ("/Webhooks/sender", "unknown-path"),
        ("/administrator", "unknown-path"),
        (f"/{CANARY}", "unknown-path"),
        ("/webhooks/nobody", "unknown-source"),
        ("/webhooks/Sender", "unknown-source"),
        ("/webhooks/sender%0A", "unknown-source"),
        ("/webhooks/sender%20", "unknown-source"),
        ("/webhooks/%00", "unknown-source"),
        ("/webhooks/sender%00", "unknown-source"),
        ("/webhooks/%FF%FE", "unknown-source"),
        (f"/webhooks/{CANARY * 300}", "unknown-source"),
    ],
)
def test_an_unknown_path_is_404_in_json(
    source: Source, settings: Any, debug: bool, path: str, code: str
) -> None:
    settings.DEBUG = debug
    for accept in ("application/json", "text/html"):
        answer = send(path=path, Accept=accept)
        assert (answer.status_code, assert_sound_answer(answer)["code"]) == (404, code)
    assert Receipt.objects.count() == 0


@pytest.mark.parametrize("path", ["/webhooks/sender", "/webhooks/sender/"])
def test_a_slash_at_the_end_makes_no_difference(source: Source, path: str) -> None:
    answer = send(path=path)
    assert (answer.status_code, assert_sound_answer(answer)["status"]) == (200, "ignored")


@pytest.mark.one_database
@pytest.mark.parametrize("path", ["/webhooks/sender", "/webhooks/sender/", "/webhooks/nobody"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY"])
def test_any_other_method_is_405_with_the_allowed_one(source: Source, method: str, path: str) -> None:
    answer = send(method, path)
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    if method != "HEAD":
        assert assert_sound_answer(answer)["code"] == "wrong-method"
    assert Receipt.objects.count() == 0


@pytest.mark.one_database
@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json;charset=utf-8",
        'application/json ; charset="UTF-8"',
        "application/json; charset=utf8",
    ],
)
def test_json_is_accepted_without_charset_or_with_utf8(source: Source, content_type: str) -> None:
    assert send(**{"Content-Type": content_type}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"Content-Type": value}
            for value in (
                *(
                    "",
                    "text/plain",
                    "text/json",
                    "application/x-www-form-urlencoded",
                    "multipart/form-data; boundary=x",
                ),
                *(
                    "application/json; charset=utf-16",
                    "application/json; charset=utf-7",
                    "application/jsonp",
                    CANARY,
                ),
                *(
                    "application/json; charset=latin-1",
                    "application/vnd.api+json",
                    "application/json, text/plain",
                ),
                *("application/json; charset=utf-8; version=1", "application/json; boundary=x", "*/*"),
            )
        ),
        *({"Content-Encoding": value} for value in ("gzip", "br", "deflate", "identity", CANARY)),
    ],
    ids=str,
)
def test_any_other_type_is_415_and_leaves_a_row_without_a_body(
    source: Source, headers: dict[str, str]
) -> None:
    answer = send(**headers)
    assert (answer.status_code, assert_sound_answer(answer)["code"]) == (415, "wrong-content-type")
    [row] = Refusal.objects.all()
    assert (row.code, row.source, row.size, row.times) == ("wrong-content-type", source, len(IGNORED), 1)
    assert Receipt.objects.count() == 0


@pytest.mark.one_database
def test_a_disabled_source_gets_410_and_no_other_information(source: Source) -> None:
    Source.objects.update(is_enabled=False)
    for answer in (send(), send(body=b"{"), send(**{"Content-Type": "text/plain"})):
        assert (answer.status_code, assert_sound_answer(answer)["code"]) == (410, "source-disabled")


def test_size_is_checked_before_type_and_type_before_signature(source: Source) -> None:
    Source.objects.update(scheme="bearer")
    assert send(body=b"a" * 65_537, **{"Content-Type": "text/plain"}).status_code == 413
    assert send(**{"Content-Type": "text/plain"}).status_code == 415
    assert send(body=b"{").status_code == 401


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "GET") for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method")),
        *(
            (name, f"/{CANARY}")
            for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Script-Name")
        ),
        *(
            (name, f"{CANARY}.example")
            for name in ("X-Forwarded-Host", "X-Forwarded-Server", "X-Host", "Forwarded")
        ),
        *((name, "203.0.113.7") for name in ("X-Forwarded-For", "X-Real-IP", "Client-IP", "True-Client-IP")),
        *(
            (name, CANARY)
            for name in ("X-Forwarded-Proto", "Origin", "Referer", "Cookie", "Accept", "Accept-Language")
        ),
        *(("X-Forwarded-Port", "1"), ("Range", "bytes=0-1"), ("If-None-Match", "*"), ("Expect", CANARY)),
    ],
)
def test_override_headers_have_no_effect(source: Source, name: str, value: str) -> None:
    plain, changed = send(), send(**{name: value})
    assert (changed.status_code, assert_sound_answer(changed)["status"]) == (200, "ignored")
    assert set(changed.headers) == set(plain.headers)
    assert set(Receipt.objects.values_list("address", flat=True)) == {"127.0.0.1"}


def test_only_the_configured_number_of_proxies_is_trusted(source: Source, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    send(**{"X-Forwarded-For": f"{CANARY}, 203.0.113.7, 198.51.100.9"})
    send(**{"X-Forwarded-For": CANARY})
    assert list(Receipt.objects.order_by("pk").values_list("address", flat=True)) == ["198.51.100.9", None]


@pytest.mark.parametrize("zone", ["%eth0", "%br-0123456789ab", "%" + CANARY])
def test_a_link_local_address_is_stored_without_its_zone(source: Source, zone: str) -> None:
    address = f"fe80::1234:5678:9abc:def0{zone}"
    for content_type, status in (("application/json", 200), ("text/plain", 415)):
        answer = CLIENT.post("/webhooks/sender", IGNORED, content_type=content_type, REMOTE_ADDR=address)
        assert answer.status_code == status
    for model in (Receipt, Refusal):
        assert model.objects.get().address == address.removesuffix(zone)


@pytest.mark.one_database
def test_an_unknown_host_is_refused_in_json(source: Source) -> None:
    answer = send(Host=f"{CANARY}.example")
    assert answer.status_code == 400
    assert_sound_answer(answer)


@pytest.mark.one_database
@pytest.mark.parametrize("extra", [0, 1])
def test_on_the_wire_the_limit_holds_with_a_length_and_in_chunks(running: RunningHub, extra: int) -> None:
    body = EXAMPLE[:-1] + b" " * (65_536 - len(EXAMPLE) + extra) + b"}"
    chunks = (body[start : start + 4_096] for start in range(0, len(body), 4_096))
    for reply in (running.send(body), running.send(chunks)):
        document = on_the_wire(reply)
        assert (reply.status, document.get("code")) == ((413, "too-large") if extra else (200, None))


@pytest.mark.one_database
@pytest.mark.parametrize("extra", [0, 1])
def test_on_the_wire_a_source_can_accept_up_to_a_mebibyte(running: RunningHub, extra: int) -> None:
    largest = json.dumps({"max_bytes": 1_048_576})
    running.write(f"UPDATE webhooks_source SET webhook_format = '{largest}' WHERE slug = 'aurora-unsigned'")
    try:
        wait_for_settings(running, b" " * 65_537)
        body = IGNORED + b" " * (1_048_576 - len(IGNORED) + extra)
        chunks = (body[start : start + 50_000] for start in range(0, len(body), 50_000))
        for reply in (running.send(body), running.send(chunks)):
            document = on_the_wire(reply)
            assert (reply.status, document.get("code")) == ((413, "too-large") if extra else (200, None))
    finally:
        running.write("UPDATE webhooks_source SET webhook_format = '{}' WHERE slug = 'aurora-unsigned'")


def wait_for_settings(running: RunningHub, body: bytes) -> None:
    """Wait until the hub has read the source again: until it no longer refuses this body for its size."""
    until = time.monotonic() + 20
    while running.send(body).status == 413:
        assert time.monotonic() < until
        time.sleep(0.2)


@pytest.mark.one_database
def test_on_the_wire_a_huge_length_is_refused_before_the_body_comes(running: RunningHub) -> None:
    reply = running.raw(head("POST /webhooks/aurora-unsigned", "Content-Length: 10000000000"))
    assert (reply.status, on_the_wire(reply)["code"]) == (413, "too-large")


@pytest.mark.one_database
@pytest.mark.parametrize(
    "path", ["//", "//webhooks/aurora-unsigned", "/webhooks//aurora-unsigned", "/webhooks/%2e%2e", "/%2e"]
)
def test_on_the_wire_a_path_of_unusual_form_is_404_in_json(running: RunningHub, path: str) -> None:
    reply = running.raw(head(f"POST {path}", f"Content-Length: {len(EXAMPLE)}") + EXAMPLE)
    assert (reply.status, on_the_wire(reply)["status"]) == (404, 404)


@pytest.mark.one_database
def test_on_the_wire_an_empty_body_is_no_json(running: RunningHub) -> None:
    reply = running.raw(head("POST /webhooks/aurora-unsigned", "Content-Length: 0"))
    assert (reply.status, on_the_wire(reply)["code"]) == (400, "not-json")


@pytest.mark.one_database
def test_on_the_wire_a_header_spelt_with_an_underscore_is_not_the_signature(running: RunningHub) -> None:
    headers = [
        "webhook_id: msg_1",
        "webhook_timestamp: 1",
        "webhook_signature: v1,a",
        f"Content-Length: {len(EXAMPLE)}",
    ]
    reply = running.raw(head("POST /webhooks/aurora", *headers) + EXAMPLE)
    assert (reply.status, on_the_wire(reply)["code"]) == (401, "bad-signature")


def head(line: str, *headers: str) -> bytes:
    lines = [
        f"{line} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        "Connection: close",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def on_the_wire(reply: Reply) -> dict[str, Any]:
    assert reply.headers["Content-Type"] in ("application/json", "application/problem+json")
    assert (reply.headers["Cache-Control"], reply.headers["X-Content-Type-Options"]) == (
        "no-store",
        "nosniff",
    )
    document: dict[str, Any] = json.loads(reply.body)
    return document
