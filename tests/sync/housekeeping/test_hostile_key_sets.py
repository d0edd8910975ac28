"""Hostile addresses of key sets, and hostile systems behind them: each is refused with a sentence, in bounded time and
memory, nothing of it is stored or shown, and the keys that are known stay.
"""

import gzip
import json
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.exceptions import ValidationError
from django.utils import timezone

from connectors.http import dns
from sync.housekeeping import key_sets
from sync.housekeeping.key_sets import KeySetUnavailable, fetch_key_set
from tests.support.http.servers import Reply, dripping, raw_serving, read_request, serving
from webhooks.models import KeySet, Source
from webhooks.protocol.tokens.public_keys import clean_key_set

pytestmark = [pytest.mark.hostile_settings, pytest.mark.concurrent]

CANARY = "canary-7f3a"
RSA_KEY = rsa.generate_private_key(65_537, 2_048)
GOOD = jwt.get_algorithm_by_name("RS256").to_jwk(RSA_KEY.public_key(), as_dict=True) | {"kid": "k1"}
PRIVATE = jwt.get_algorithm_by_name("RS256").to_jwk(RSA_KEY, as_dict=True) | {"kid": "k1"}
JSON = {"Content-Type": "application/json"}

# Every spelling of an address is tried where addresses are judged; here are the kinds.
FORBIDDEN = [
    "https://169.254.169.254/latest/meta-data", "https://[fd00:ec2::254]/keys", "https://[::ffff:169.254.169.254]/keys",
    "https://0.0.0.0/keys", "https://224.0.0.1/keys",
]  # fmt: skip
NOT_SAVED = [
    "http://id.example.com/keys", "http://10.0.0.1/keys", "file:///etc/passwd", "https://user:pw@id.example.com/keys",
    "https://id.example.com/keys?key=secret", "https://id.example.com/keys#x", "https:///keys",
    "https://id.example.com/\r\nX-Evil: 1", "https://" + "a" * 500, "", "http://127.0.0.1.example.com/keys",
]  # fmt: skip


def of_keys(*keys: Any) -> Reply:
    return Reply(value={"keys": list(keys)}, headers=JSON)


# What a system answers, and a part of the sentence about it.
REPLIES: dict[str, tuple[Reply, str]] = {
    "a redirect": (Reply(302, {}, {"Location": f"https://evil.example.com/{CANARY}"}), "redirects"),
    "an error with the keys": (Reply(500, {"keys": [GOOD]}, JSON), "status 500"),
    "keys that are called HTML": (
        Reply(value={"keys": [GOOD]}, headers={"Content-Type": "text/html"}),
        "content type",
    ),
    "a bomb of brackets": (Reply(raw=b"[" * 60_000, headers=JSON), "not JSON"),
    "a huge body": (Reply(raw=b" " * 2_000_000, headers=JSON), "too large"),
    "a compressed body": (
        Reply(raw=gzip.compress(b" " * 5_000_000), headers=JSON | {"Content-Encoding": "gzip"}),
        "No key set was received",
    ),
    "shared secrets": (of_keys({"kty": "oct", "k": CANARY, "alg": "HS256"}), "no key for"),
}
UNUSABLE_KEYS = [
    GOOD | {"use": "enc"}, GOOD | {"alg": "RS512"}, {"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"},
    {"kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kty": "RSA", "n": "v" * 1_900, "e": "AQAB"}, GOOD | {"e": "AQ"},
    GOOD | {"kid": "x" * 300},
]  # fmt: skip


def _answer_raw(data: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(data)

    return behave


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
RAW: dict[str, tuple[Callable[[socket.socket], None], str]] = {
    "no HTTP": (_answer_raw(b"\x00\x01\x02" + CANARY.encode() + b"\r\n\r\n"), "No key set was received"),
    "a body that ends early": (_answer_raw(HEAD + b'Content-Length: 1000\r\n\r\n{"keys":[]}'), "connection was cut"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _long_timeout(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sets, "TIMEOUT_SECONDS", 60.0)


def make_source(url: str, **settings: Any) -> Source:
    settings = {"algorithm": "RS256", "header": "Authorization", "jwks_url": url} | settings
    return Source(slug="sender", name="Sender", scheme="jwt", scheme_settings=settings)


def fetch_and_fail(url: str, caplog: pytest.LogCaptureFixture) -> str:
    """Fetch what must be refused. Returns the sentence about it."""
    KeySet.objects.create(url=url, keys="known", refresh_at=timezone.now())
    with caplog.at_level(logging.DEBUG), pytest.raises(KeySetUnavailable) as refused:
        fetch_key_set(url)
    row, sentence = KeySet.objects.get(), str(refused.value)
    assert row.fault == sentence
    assert sentence.endswith(".")
    assert sentence[0].isupper()
    assert (row.keys, row.fetched_at) == ("known", None)
    assert CANARY not in sentence + caplog.text
    assert "evil" not in sentence + caplog.text
    return sentence


@pytest.mark.parametrize("url", FORBIDDEN)
def test_no_request_is_sent_to_a_metadata_or_internal_address(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    make_source(url).full_clean()
    assert fetch_and_fail(url, caplog) == "The hub does not connect to this address."


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254"])
def test_a_host_name_that_resolves_to_a_forbidden_address_is_not_contacted(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    rest = (0, 0) if ":" in address else ()
    found = [(family, socket.SOCK_STREAM, 6, "", (address, 443, *rest))]
    connected: list[Any] = []
    monkeypatch.setattr(dns, "_query_system", lambda _: found)
    monkeypatch.setattr(socket.socket, "connect", lambda _, where: connected.append(where))
    monkeypatch.setattr(key_sets, "record_key_set_fault", lambda *_: None)
    with pytest.raises(KeySetUnavailable, match="does not connect"):
        fetch_key_set("https://keys.example.com/keys")
    assert connected == []
    assert caplog.text == ""


def test_an_address_without_tls_or_with_a_secret_is_not_saved() -> None:
    for url in NOT_SAVED:
        with pytest.raises(ValidationError) as refused:
            make_source(url).full_clean()
        assert "pw@" not in str(refused.value)
        assert "key=secret" not in str(refused.value)


def test_only_this_computer_may_publish_without_tls() -> None:
    for url in ("http://127.0.0.1:8080/keys", "http://localhost/keys", "http://[::1]/keys"):
        make_source(url).full_clean()


@pytest.mark.parametrize("name", REPLIES)
def test_a_hostile_response_is_refused_with_a_sentence(name: str, caplog: pytest.LogCaptureFixture) -> None:
    reply, expected = REPLIES[name]
    with serving(lambda _: reply) as service:
        assert expected in fetch_and_fail(f"{service.url}/keys", caplog)
        # Neither a redirect nor a second try.
        assert [seen.target for seen in service.seen] == ["/keys"]


@pytest.mark.parametrize("name", RAW)
def test_a_system_without_valid_http_or_with_an_endless_response_is_abandoned(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    behave, expected = RAW[name]
    with raw_serving(behave) as url:
        assert expected in fetch_and_fail(f"{url}/keys", caplog)


def test_keys_that_verify_nothing_or_are_slow_are_not_stored() -> None:
    for key in UNUSABLE_KEYS:
        with pytest.raises(ValueError, match="no key for"):
            clean_key_set(json.dumps({"keys": [key]}).encode())


@pytest.mark.parametrize(
    "media_type", ["APPLICATION/JSON", "application/jwk-set+json; charset=utf-8", "text/plain", ""]
)
def test_keys_of_a_usual_type_are_stored_without_unneeded_fields(media_type: str) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    reply = Reply(
        value={
            "keys": [PRIVATE | {"x5c": [CANARY], "note": CANARY}, {"kty": "oct", "k": CANARY}],
            "extra": CANARY,
        },
        headers=headers,
    )
    with serving(lambda _: reply) as service:
        fetch_key_set(f"{service.url}/keys")
    stored = json.loads(KeySet.objects.get().keys)
    assert [sorted(key) for key in stored] == [["e", "kid", "kty", "n"]]
    assert CANARY not in KeySet.objects.get().keys
    assert PRIVATE["d"] not in KeySet.objects.get().keys


@pytest.mark.nightly
def test_a_dripping_system_is_left_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(key_sets, "TIMEOUT_SECONDS", 0.5)
    head = HEAD + b"Content-Length: 100000\r\n\r\n"
    began = time.monotonic()
    with raw_serving(dripping(b"a" * 100, head)) as url:
        fetch_and_fail(f"{url}/keys", caplog)
    assert time.monotonic() - began < 5
