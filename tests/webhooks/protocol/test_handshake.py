"""Handshakes: the challenge is found where the settings say, bounded, and written back in a way that nobody can misuse."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from tests.support.rows import each_row
from webhooks.protocol.handshake import HANDSHAKE, MAX_BODY_BYTES, signs_for_anyone

pytestmark = pytest.mark.pure

OKTA = {"from": "header", "name": "X-Okta-Verification-Challenge"}
GRAPH = {"from": "query", "name": "validationToken", "method": "POST", "as": "text"}
SLACK = {"from": "body", "when": "body.type == 'url_verification'", "challenge": "body.challenge"}
SLACK_BODY = {"token": "Jhj5dZ", "challenge": "3eZbrw1aBm2rZgRN", "type": "url_verification"}
X = {"from": "query", "name": "crc_token", "field": "response_token", "hmac": {"prefix": "sha256="}}
WEBHOOK = '{"id": "u-1", "entityType": "USER", "eventType": "UPDATE"}'
UNUSABLE = ["", "x" * 1_025, "a\tb", "a\r\nSet-Cookie: b", "é", "\u202e", "a\x7fb"]


def read(document: Any) -> Any:
    return HANDSHAKE.read(document, ())


@each_row(
    [
        ("GET", "3xK-challenge_~", "3xK-challenge_~"),
        ("GET", "x" * 1_024, "x" * 1_024),
        ("POST", "abc", None),
        ("HEAD", "abc", None),
        *(("GET", challenge, None) for challenge in UNUSABLE),
    ]
)
def test_a_challenge_in_a_header_is_found_by_its_method_alone(
    method: str, sent: str, found: str | None
) -> None:
    headers = {"x-okta-verification-challenge": sent}
    assert read(OKTA).find_challenge(method, headers, "") == found


@each_row(
    [
        ("validationToken=Validation%3a+Testing%20client%3Cb%3E&other=1", "Validation: Testing client<b>"),
        ("&".join(["a=1"] * 49) + "&validationToken=abc", "abc"),
        (f"validationToken=abc&a={'x' * 8_170}", "abc"),
        *(
            (query, None)
            for query in (
                "",
                "validationtoken=abc",
                "validationToken=a&validationToken=b",
                f"validationToken={'x' * 1_025}",
                "validationToken=%00",
                "validationToken=%0d%0aSet-Cookie:a",
                "validationToken=%ff",
                "validationToken=%C3%A9",
                "&".join(["a=1"] * 50) + "&validationToken=abc",
                f"validationToken=abc&a={'x' * 8_172}",
            )
        ),
    ]
)
def test_a_challenge_in_the_query_is_the_only_one_of_its_name(query: str, found: str | None) -> None:
    assert read(GRAPH).find_challenge("POST", {}, query) == found
    assert read(GRAPH).find_challenge("GET", {}, query) is None


def body_of(**changed: Any) -> bytes:
    return json.dumps(SLACK_BODY | changed).encode()


@each_row(
    [
        (body_of(), SLACK_BODY["challenge"]),
        (body_of(more="x" * (MAX_BODY_BYTES - len(body_of(more="")))), SLACK_BODY["challenge"]),
        (body_of(more="x" * (MAX_BODY_BYTES - len(body_of(more="")) + 1)), None),
        *((body_of(challenge=challenge), None) for challenge in (*UNUSABLE, 7, True, None, ["a"], {})),
        *(
            (body, None)
            for body in (
                b"",
                b"[]",
                b"{",
                b'{"type": "url_verification"}',
                body_of(type="URL_VERIFICATION"),
                body_of(type="message"),
                body_of(type=["url_verification"]),
                b'{"type": "url_verification", "challenge": "abc-123", "challenge": "abc-124"}',
                b"\xef\xbb\xbf" + body_of(),
                body_of() + b" x",
                b"[" * 10_000,
            )
        ),
    ]
)
def test_a_challenge_in_a_body_is_found_only_in_a_handshake(body: bytes, found: str | None) -> None:
    assert read(SLACK).find_challenge(body) == found


@pytest.mark.promise("I25")
def test_an_expression_that_costs_too_much_or_does_not_fit_finds_nothing() -> None:
    costly = "length(body.list[].[@, @, @, @][]) > `1` && body.challenge"
    assert read(SLACK | {"challenge": costly}).find_challenge(body_of(list=[1])) == SLACK_BODY["challenge"]
    assert read(SLACK | {"challenge": costly}).find_challenge(body_of(list=[1] * 600)) is None
    assert read(SLACK | {"when": "starts_with(body.type, 'url_')"}).find_challenge(body_of(type=7)) is None


@each_row(
    [
        ("OPTIONS", "eventgrid.azure.net", "eventgrid.azure.net"),
        ("OPTIONS", "10.0.0.7:8080", "10.0.0.7:8080"),
        ("OPTIONS", "https://events.example.com", "https://events.example.com"),
        *((method, "eventgrid.azure.net", None) for method in ("GET", "HEAD", "PUT")),
        *(
            ("OPTIONS", origin, None)
            for origin in (
                "",
                "*",
                "a,b",
                "<script>",
                "a\r\nSet-Cookie: b",
                "é.example",
                "https://example.com/path",
                "javascript:alert(1)",
                "user@example.com",
                "x" * 300,
            )
        ),
    ]
)
def test_an_origin_is_a_dns_name_that_asks_by_options(method: str, origin: str, found: str | None) -> None:
    headers = {"webhook-request-origin": origin}
    assert read({"from": "origin"}).find_origin(method, headers) == found
    preflight = headers | {"access-control-request-method": "POST"}
    assert read({"from": "origin"}).find_origin(method, preflight) is None


def test_a_challenge_is_written_as_json_or_plain_text_and_never_as_html() -> None:
    hostile = '<script>alert(1)</script>","admin":"yes'
    for document, field in ((OKTA, "verification"), (SLACK, "challenge"), (OKTA | {"field": "echo"}, "echo")):
        assert json.loads(read(document).write_answer(hostile)) == {field: hostile}
        assert read(document).media_type == "application/json"
    assert read(GRAPH).write_answer(hostile) == hostile.encode()
    assert read(GRAPH).media_type == "text/plain; charset=utf-8"


def test_the_hmac_of_a_challenge_is_written_beside_it_or_in_its_place() -> None:
    digest = hmac.new(b"key", b"abc", hashlib.sha256).hexdigest()
    beside = SLACK | {"field": "plainToken", "hmac": {"field": "encryptedToken"}}
    assert json.loads(read(beside).write_answer("abc", b"key")) == {
        "plainToken": "abc",
        "encryptedToken": digest,
    }
    assert json.loads(read(X).write_answer("abc", b"key")) == {"response_token": f"sha256={digest}"}
    as_text = {"from": "query", "name": "c", "as": "text", "hmac": {}}
    assert read(as_text).write_answer("abc", b"key") == digest.encode()
    assert [
        signs_for_anyone(read(document)) for document in (X, beside, beside | {"verified": False}, OKTA)
    ] == [
        True,
        False,
        True,
        False,
    ]


@each_row([WEBHOOK, "[]", "a{b", "a b", "a&b", '"a"', "a:b", "x" * 257, "%", "", "a,b"])
def test_the_hub_signs_no_text_that_could_be_a_webhook(challenge: str) -> None:
    """With a signature of the body alone, the HMAC of a challenge is the signature of a webhook."""
    handshake = read({"from": "header", "name": "X-C", "hmac": {}})
    assert handshake.find_challenge("GET", {"x-c": challenge}, "") is None
    assert handshake.find_challenge("GET", {"x-c": "x" * 256}, "") == "x" * 256


@each_row(
    [
        (None, ""),
        ([], ""),
        ({"from": "cookie", "name": "a"}, "from"),
        ({"from": "body", "name": "a"}, ""),
        ({"from": "origin", "name": "a"}, "name"),
        ({"from": "header"}, "name"),
        ({"from": "header", "name": "a_b"}, "name"),
        ({"from": "query", "name": "a b"}, "name"),
        (OKTA | {"method": "PUT"}, "method"),
        (OKTA | {"as": "html"}, "as"),
        (OKTA | {"field": ""}, "field"),
        (SLACK | {"when": ""}, "when"),
        (SLACK | {"when": "!body.type.x"}, "when"),
        (SLACK | {"challenge": "now()"}, "challenge"),
        (SLACK | {"verified": "no"}, "verified"),
        (SLACK | {"method": "GET"}, "method"),
        (X | {"hmac": {"field": "response_token"}}, "hmac"),
        (X | {"as": "text", "hmac": {"field": "b"}}, "hmac"),
        (X | {"hmac": {"algorithm": "md5"}}, "hmac"),
        (X | {"hmac": {"key": "a"}}, "hmac"),
        (X | {"hmac": None}, "hmac"),
    ]
)
def test_invalid_settings_are_refused_at_their_place(document: Any, place: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        read(document)
    assert place in str(refused.value)
