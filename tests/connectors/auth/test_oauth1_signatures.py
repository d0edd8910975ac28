"""OAuth 1.0a: a strict system accepts every request of a connection, and none that was changed or is sent again."""

import json
import logging
import re
import socket
from typing import Any

import pytest

from connectors.auth.oauth1_signatures import OAuth1Signer
from connectors.contracts.errors import CredentialsRefused
from connectors.contracts.types import TargetConnector
from connectors.exchange import PreparedRequest
from connectors.http.message_types import UrlNotAllowed
from connectors.http.urls import parse_base_url
from connectors.settings.authentication import credential_names, parse_authentication
from connectors.settings.credentials import Credentials
from tests.support.http.connectors import MemoryRecorder, shop, shop_settings
from tests.support.http.oauth1_server import Consumer, OAuth1Server, Refused, encode
from tests.support.http.servers import Reply, SeenRequest, raw_serving, read_request, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

OAUTH1: dict[str, Any] = {"scheme": "oauth1"}
CONSUMER = Consumer()
ALONE = Consumer(token="")


def connect(
    url: str, notebook: MemoryRecorder | None = None, consumer: Consumer = CONSUMER, **over: Any
) -> TargetConnector:
    return shop(
        url,
        notebook,
        **{"authentication": OAUTH1, "credentials": consumer.credentials, "deadline": 60.0, **over},
    )


def found(_: SeenRequest) -> Reply:
    return Reply(200, {"id": "1", "items": []})


def a_request(method: str, target: str, headers: dict[str, str], body: bytes = b"") -> SeenRequest:
    return SeenRequest(method, target, {"host": "example.com", **headers}, body, 1)


# The stand-in, by the examples of the RFC.


PHOTOS = Consumer("dpf43f3p2l4k3l03", "kd94hf93k423kf44", "nnch734d00sl2jdk", "pfkkdhi9sl3r4s00")
PHOTOS_HEADER = (
    'OAuth realm="Photos", oauth_consumer_key="dpf43f3p2l4k3l03", oauth_token="nnch734d00sl2jdk", '
    'oauth_signature_method="HMAC-SHA1", oauth_timestamp="137131202", oauth_nonce="chapoH", '
    'oauth_signature="MdpQcU8iPSUjWoN%2FUDMsK2sui9I%3D"'
)


def test_the_stand_in_accepts_the_signature_of_the_rfc_once_and_no_other() -> None:
    """RFC 5849, 1.2."""

    def photos(target: str) -> SeenRequest:
        return a_request("GET", target, {"host": "photos.example.net", "authorization": PHOTOS_HEADER})

    def serve_photos() -> OAuth1Server:
        return OAuth1Server(found, PHOTOS, "HMAC-SHA1", "Photos", clock=lambda: 137131210)

    with pytest.raises(Refused, match="signature_invalid"):
        serve_photos().verify(photos("/photos?file=vacation.jpg&size=small"))
    server = serve_photos()
    server.verify(photos("/photos?file=vacation.jpg&size=original"))
    with pytest.raises(Refused, match="nonce_used"):
        server.verify(photos("/photos?file=vacation.jpg&size=original"))


# The hub.


@pytest.mark.parametrize(
    ("algorithm", "realm", "consumer"),
    [
        ("HMAC-SHA256", None, CONSUMER),
        ("HMAC-SHA512", "1234567_SB1", ALONE),
        ("HMAC-SHA1", None, Consumer("ä/ö", "ü&", "é", "€")),
    ],
)
def test_every_request_is_signed(algorithm: str, realm: str | None, consumer: Consumer) -> None:
    server = OAuth1Server(found, consumer, algorithm, realm)
    authentication = {**OAUTH1, "algorithm": algorithm, "consumer_only": not consumer.token}
    if realm is not None:
        authentication["realm"] = realm
    assert set(credential_names(authentication)) == set(consumer.credentials)
    with serving(server) as service:
        target = connect(service.url, consumer=consumer, authentication=authentication)
        target.get_record("USER", "1")
        target.create_record("USER", {"email": "a+b&c=d%20@b.test"}, "k")
        target.update_record("USER", "1", {"first_name": "Ä = 1 & 2"}, "k")
        target.delete_record("USER", "1", "k")
    assert server.reasons == []
    assert len(server.nonces) == len(service.seen) == 4


@pytest.mark.parametrize("value", ["a b@b.test", "a+b&b=c@b.test", "100%@b.test", "~*'()!@ä.test", "a=%3D"])
def test_the_query_is_signed_with_every_character(value: str) -> None:
    server = OAuth1Server(found)
    search = {
        "path": "/api/customers",
        "query": {
            "filter[0][value]": ["{value}", "", "é"],
            "filter[0][field]": "{field}",
            "b": "2",
            "B": "1",
        },
        "result": "items",
        "fields": ["email"],
    }
    with serving(server) as service:
        connect(service.url, settings=shop_settings(search=search)).search_records("USER", "email", value)
        assert service.seen[0].query["filter[0][field]"] == "email"
    assert server.reasons == []


FORM = {
    "entities": {
        "USER": {
            "operations": {
                "get": {"path": "/u/{id}"},
                "update": {"path": "/u/{id}"},
                "delete": {"path": "/u/{id}"},
                "create": {
                    "path": "/u",
                    "query": {"z": "1 2"},
                    "encoding": "form",
                    "body": {"a b": {"expression": "fields.email"}, "list": ["1", "2"]},
                },
            }
        }
    }
}


def test_the_fields_of_a_form_are_signed() -> None:
    server = OAuth1Server(found)
    with serving(server) as service:
        connect(service.url, settings=FORM).create_record("USER", {"email": "a+b c@b.test&x=1"}, "k")
        assert b"a+b=a%2Bb+c%40b.test" in service.seen[0].body
        server.consumer = Consumer(secret="another")
        with pytest.raises(CredentialsRefused):
            connect(service.url, settings=FORM).create_record("USER", {"email": "a@b.test"}, "k")
    assert server.reasons == ["signature_invalid"]


def test_a_read_that_is_sent_again_is_signed_again() -> None:
    """A pooled connection that the system has closed: the second transmission has a nonce of its own."""
    server = OAuth1Server(found)
    number = 0
    refusals = []

    def behave(connection: socket.socket) -> None:
        nonlocal number
        for _ in range(2):
            request = read_request(connection)
            if not request:
                return
            number += 1
            head, _, body = request.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            reply = server(SeenRequest(*first.split(" ")[:2], headers, body, 1))
            refusals.append(reply.status)
            if number == 2:
                # The request has arrived, its response never does.
                return
            payload = json.dumps(reply.value).encode()
            connection.sendall(
                b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (reply.status, len(payload), payload)
            )

    with raw_serving(behave) as url:
        for _ in range(2):
            assert connect(url).get_record("USER", "1") is not None
    assert refusals == [200, 200, 200]
    assert len(server.nonces) == 3


def test_no_record_holds_a_secret_or_a_signature_even_if_the_system_repeats_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    notebook = MemoryRecorder()
    sent = []

    def echo(seen: SeenRequest) -> Reply:
        sent.append(seen.headers["authorization"])
        return Reply(200, {"id": "1", "you": seen.headers["authorization"], "token": CONSUMER.token})

    with serving(OAuth1Server(echo)) as service, caplog.at_level(logging.DEBUG):
        connect(service.url, notebook).get_record("USER", "1")
    signature = sent[0].partition('oauth_signature="')[2].partition('"')[0]
    recorded = f"{notebook.sent} {notebook.exchanges} {caplog.text}"
    for secret in (CONSUMER.secret, CONSUMER.token, CONSUMER.token_secret, signature):
        assert secret not in recorded
        assert encode(secret) not in recorded
    assert notebook.sent[0].headers["Authorization"] == "***"


def test_a_line_break_in_a_credential_stays_within_the_header() -> None:
    consumer = Consumer(key="a\r\nX-Admin: 1")
    server = OAuth1Server(found, consumer)
    with serving(server) as service:
        connect(service.url, consumer=consumer).get_record("USER", "1")
        assert "x-admin" not in service.seen[0].headers
    assert server.reasons == []


def test_a_form_in_a_get_is_not_sent_because_the_rfc_does_not_say_how_to_sign_it() -> None:
    scheme = parse_authentication(OAUTH1, parse_base_url("https://a.test"))
    call = PreparedRequest(
        purpose="list",
        method="GET",
        url="https://a.test/u",
        path_template="/u",
        origin="https://a.test",
        allowed_url=re.compile(".*"),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=b"a=1",
        idempotency_key=None,
        is_write=False,
    )
    with pytest.raises(UrlNotAllowed, match="the request cannot be signed"):
        OAuth1Signer(scheme, Credentials(CONSUMER.credentials)).sign(call)
