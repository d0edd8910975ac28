"""The JSON of request bodies, and the limits on the size of a response that is read."""

import gzip
import json
import socket
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.contracts.errors import (
    RequestRejected,
    UnreadableResponse,
    parse_retry_after,
)
from connectors.contracts.types import Record
from connectors.values.json_responses import as_id, parse_json
from sync.planning.change import json_equal
from tests.support.http.connectors import PUT_CUSTOMER, identity, shop, shop_settings
from tests.support.http.servers import Reply, raw_serving, read_request, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
MIB = 1_048_576
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def test_a_wrapped_record_is_sent_and_read_in_its_wrapping() -> None:
    body = {"customer": {"expression": "sent"}}
    settings = shop_settings(
        get={"path": "/c/{id}", "result": "customer"},
        create={"path": "/c", "body": body, "result": "customer"},
        update={"path": "/c/{id}", "body": body, "result": "customer"},
    )
    with serving(lambda _: Reply(200, {"customer": {"id": 7, "email": "a@b.test"}})) as service:
        connector = shop(service.url, settings=settings)
        made = connector.create_record("USER", {"email": "a@b.test"}, "k1")
        changed = connector.update_record("USER", "7", {"email": "a@b.test"}, "k2")
        assert (
            made
            == changed
            == connector.get_record("USER", "7")
            == Record("7", {"id": 7, "email": "a@b.test"})
        )
        assert [seen.json() for seen in service.seen[:2]] == [{"customer": {"email": "a@b.test"}}] * 2


def test_an_id_that_cannot_be_stored_is_an_unreadable_response() -> None:
    cases: list[Any] = ["", "x" * 256, "a\0b", 10**255, 1.5, True, None, ["7"]]
    for unusable in cases:
        with serving(
            lambda _, unusable=unusable: Reply(200, {"id": unusable, "email": "a@b.test"})
        ) as service:
            with pytest.raises(UnreadableResponse):
                shop(service.url).get_record("USER", "7")
            with pytest.raises(UnreadableResponse):
                identity(service.url).fetch_entity("USER", "7")
        assert as_id("x" * 255) == "x" * 255
        assert as_id(10**255 - 1) == "9" * 255


NUMBERS = [
    "1234567890123456.78", "0.10000000000000001", "0.1000000000000000055511151231257827", "1e-400",
    "12345678901234567890123456789", "-3.14159265358979323846", "1e-99999999999999999999",
]  # fmt: skip


def test_a_replacing_update_preserves_the_digits_of_unmapped_numbers() -> None:
    limits = ",".join(f'{{"limit":{number}}}' for number in NUMBERS)
    stored = f'{{"id":7,"email":"old","limits":[{limits}],"price":12.5,"rate":1e2}}'.encode()
    settings = shop_settings(update=PUT_CUSTOMER | {"omit": ["id"]})
    with serving(lambda _: Reply(200, raw=stored)) as service:
        shop(service.url, settings=settings).update_record("USER", "7", {"email": "new"}, "k")
        written = service.seen[-1].body.decode()
    assert written == f'{{"email":"new","limits":[{limits}],"price":12.5,"rate":100.0}}'


def test_a_number_of_many_digits_is_a_float_in_all_else() -> None:
    document = parse_json(b'{"limit":1234567890123456.78}')
    assert document == {"limit": 1234567890123456.78}
    assert json.dumps(document) == '{"limit": 1234567890123456.8}'
    assert json_equal(document, {"limit": 1234567890123456.78})


def test_a_replacing_update_of_a_deleted_record_is_sent_and_refused_by_the_system() -> None:
    settings = shop_settings(update=PUT_CUSTOMER)
    with serving(lambda _: Reply(404, {"message": "No such customer."})) as service:
        with pytest.raises(RequestRejected) as caught:
            shop(service.url, settings=settings).update_record("USER", "7", {"email": "new"}, "k")
        assert service.seen[-1].json() == {"email": "new"}
    assert caught.value.sentence == "No such customer."


def test_retry_after_is_read_in_both_of_its_forms() -> None:
    cases: list[tuple[str | None, float | None]] = [
        ("0", 0), ("7", 7), ("99999", 3600), ("Tue, 24 Nov 2026 12:00:30 GMT", 30),
        ("Tue, 24 Nov 2026 14:00:30 +0200", 30), ("Tue, 24 Nov 2026 11:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600), (None, None), ("", None), ("-1", None), ("1.5", 1.5), ("2.0", 2), ("1.5s", None),
        ("soon", None), ("٣", None), ("9" * 5000, 3600), ("Tue, 99 Nov 2026 12:00:30 GMT", None),
    ]  # fmt: skip
    for header, seconds in cases:
        assert parse_retry_after(header, NOW) == seconds


BOMB = gzip.compress(b" " * 50_000_000, compresslevel=1)


def _bomb(encoding: bytes, members: int) -> Callable[[socket.socket], None]:
    body = BOMB * members

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        length = str(len(body)).encode()
        connection.sendall(HEAD + encoding + b"Content-Length: " + length + b"\r\n\r\n" + body)

    return behave


def _fifty_megabytes(first: bytes, part: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(first)
        for _ in range(50_000_000 // len(part)):
            connection.sendall(part)

    return behave


@pytest.mark.parametrize(
    "behave",
    [
        _fifty_megabytes(HEAD + b"Content-Length: 50000000\r\n\r\n", b" " * 65536),
        _fifty_megabytes(HEAD + b"\r\n", b" " * 65536),
        _fifty_megabytes(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"2faf080\r\n" + b" " * 65536),
        _fifty_megabytes(HEAD, b"X-A: " + b"b" * 60_000 + b"\r\n"),
        _bomb(b"Content-Encoding: gzip\r\n", 1),
        _bomb(b"content-encoding: GZIP, gzip\r\n", 1),
        _bomb(b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n", 1),
        _bomb(b"Content-Encoding: x-gzip\r\n", 2),
    ],
    ids=[
        "length",
        "no-length",
        "one-chunk",
        "headers",
        "gzip",
        "gzip-twice",
        "two-headers",
        "x-gzip",
    ],
)
@pytest.mark.promise("I14")
def test_fifty_megabytes_cost_four_at_most(behave: Callable[[socket.socket], None]) -> None:
    with raw_serving(behave) as url:
        tracemalloc.start()
        try:
            with pytest.raises(UnreadableResponse):
                identity(url, deadline=60.0).fetch_entity("USER", "a1")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 * MIB


def test_an_answer_just_as_large_as_allowed_is_read_and_one_byte_more_is_not() -> None:
    entity = {"id": "a1", "x": ""}
    cap = len(json.dumps(entity)) + 5000

    with serving(lambda _: Reply(200, entity | {"x": "y" * 5000})) as service:
        assert identity(service.url, byte_cap=cap).fetch_entity("USER", "a1")
        with pytest.raises(UnreadableResponse, match="too large"):
            identity(service.url, byte_cap=cap - 1).fetch_entity("USER", "a1")


def test_a_sum_with_too_many_digits_is_no_version() -> None:
    largest = b"9" * 4300
    settings = {"entities": {"USER": {"path": "/users/{id}", "version": "sum([a, a])"}}}
    with serving(lambda _: Reply(200, raw=b'{"id": "a1", "a": %s}' % largest)) as service:
        entity = identity(service.url, settings=settings).fetch_entity("USER", "a1")
    assert entity is not None
    assert entity.version is None
