"""Requests that are refused before their body: path, method, size, type, headers."""

import json
from typing import Any

import pytest
from django.test import Client

from tests.support.http.machine_answers import CANARY, assert_sound_answer
from webhooks.models import Receipt, Refusal, Source
from webhooks.receiving.refusals import refusal_counts

CLIENT = Client(raise_request_exception=False)
TYPE = {"Content-Type": "application/json"}
IGNORED = json.dumps({"id": "X1", "entityType": "DEVICE", "eventType": "UPDATE"}).encode()


@pytest.fixture
def source(database: None) -> Source:
    return Source.objects.create(slug="sender", name="Sender", scheme="none")


def send(method: str = "POST", path: str = "/webhooks/sender", body: bytes = IGNORED, **headers: str) -> Any:
    return CLIENT.generic(method, path, body, headers=TYPE | headers)


@pytest.mark.parametrize("debug", [False, True])
def test_an_unknown_path_is_404_in_json(source: Source, settings: Any, debug: bool) -> None:
    settings.DEBUG = debug
    for path, code in (
        ("/webhooks", "unknown-path"),
        ("/webhooks/sender/more", "unknown-path"),
        ("/webhooks/sender//", "unknown-path"),
        ("/Webhooks/sender", "unknown-path"),
        (f"/{CANARY}", "unknown-path"),
        ("/webhooks/nobody", "unknown-source"),
        ("/webhooks/Sender", "unknown-source"),
        ("/webhooks/sender%0A", "unknown-source"),
        ("/webhooks/sender%00", "unknown-source"),
        ("/webhooks/%FF%FE", "unknown-source"),
        (f"/webhooks/{CANARY * 300}", "unknown-source"),
    ):
        for accept in ("application/json", "text/html"):
            answer = send(path=path, Accept=accept)
            assert (answer.status_code, assert_sound_answer(answer)["code"]) == (404, code), path
    assert Receipt.objects.count() == 0


@pytest.mark.one_database
def test_any_other_method_is_405_with_the_allowed_one(source: Source) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY"):
        for path in ("/webhooks/sender", "/webhooks/sender/", "/webhooks/nobody"):
            answer = send(method, path)
            assert (answer.status_code, answer["Allow"]) == (405, "POST")
            if method != "HEAD":
                assert assert_sound_answer(answer)["code"] == "wrong-method"
    assert Receipt.objects.count() == 0


@pytest.mark.one_database
def test_json_is_accepted_without_charset_or_with_utf8_and_with_a_slash_at_the_end(source: Source) -> None:
    for content_type in (
        "Application/JSON",
        'application/json ; charset="UTF-8"',
        "application/json; charset=utf8",
    ):
        for path in ("/webhooks/sender", "/webhooks/sender/"):
            answer = send(path=path, **{"Content-Type": content_type})
            assert (answer.status_code, assert_sound_answer(answer)["status"]) == (200, "ignored")


def test_any_other_type_is_415_and_leaves_a_row_without_a_body(source: Source) -> None:
    refused = [
        *(
            {"Content-Type": content_type}
            for content_type in (
                "",
                "text/json",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=x",
                "application/json; charset=utf-16",
                "application/json; charset=utf-7",
                "application/jsonp",
                CANARY,
                "application/json, text/plain",
                "application/json; charset=utf-8; version=1",
                "*/*",
            )
        ),
        *({"Content-Encoding": value} for value in ("gzip", "identity", CANARY)),
    ]
    for headers in refused:
        answer = send(**headers)
        assert (answer.status_code, assert_sound_answer(answer)["code"]) == (415, "wrong-content-type"), (
            headers
        )
    refusal_counts.flush()
    rows = list(Refusal.objects.all())
    assert {(row.code, row.source, row.size) for row in rows} == {
        ("wrong-content-type", source, len(IGNORED))
    }
    assert sum(row.times for row in rows) == len(refused)
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


@pytest.mark.promise("T4")
@pytest.mark.one_database
def test_override_headers_have_no_effect(source: Source) -> None:
    plain = send()
    for name, value in (
        *((name, "GET") for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method")),
        *((name, f"/{CANARY}") for name in ("X-Original-URL", "X-Rewrite-URL", "X-Script-Name")),
        *((name, f"{CANARY}.example") for name in ("X-Forwarded-Host", "X-Host", "Forwarded")),
        *((name, "203.0.113.7") for name in ("X-Forwarded-For", "X-Real-IP", "Client-IP")),
        *((name, CANARY) for name in ("X-Forwarded-Proto", "Origin", "Cookie", "Accept", "Accept-Language")),
        *(("X-Forwarded-Port", "1"), ("Range", "bytes=0-1"), ("If-None-Match", "*"), ("Expect", CANARY)),
    ):
        changed = send(**{name: value})
        assert (changed.status_code, assert_sound_answer(changed)["status"]) == (200, "ignored"), name
        assert set(changed.headers) == set(plain.headers)
    assert set(Receipt.objects.values_list("address", flat=True)) == {"127.0.0.1"}


@pytest.mark.promise("T4")
def test_only_the_configured_number_of_proxies_is_trusted(source: Source, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    send(**{"X-Forwarded-For": f"{CANARY}, 203.0.113.7, 198.51.100.9"})
    send(**{"X-Forwarded-For": CANARY})
    assert list(Receipt.objects.order_by("pk").values_list("address", flat=True)) == ["198.51.100.9", None]


@pytest.mark.submission
@pytest.mark.parametrize(
    ("hop", "address"),
    [
        ("198.51.100.9:51234", "198.51.100.9"),
        ("[2001:db8::9]:51234", "2001:db8::9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("2001:db8::9", "2001:db8::9"),
        ("[fe80::1%eth0]:1", "fe80::1"),
        ("198.51.100.9:", None),
        ("198.51.100.9:123456", None),
        ("[198.51.100.9", None),
        ("unknown", None),
        ("_hidden:80", None),
    ],
)
def test_an_address_is_read_with_its_port(
    source: Source, settings: Any, hop: str, address: str | None
) -> None:
    settings.TRUSTED_PROXIES = 1
    send(**{"X-Forwarded-For": hop})
    assert Receipt.objects.get().address == address


def test_a_link_local_address_is_stored_without_its_zone(source: Source) -> None:
    zone = "%br-0123456789ab"
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
