"""A request is read alike in whichever pieces it arrives."""

from typing import Any

import pytest
from django.core.exceptions import RequestDataTooBig
from gunicorn.config import Config

from integration_hub.web_server.refusals import RefusedRequest
from integration_hub.web_server.request_reader import RequestReader
from tests.web_server.raw_requests import CASES
from tests.web_server.raw_requests.case import PATH, WEBHOOK, Case, webhook

pytestmark = pytest.mark.pure

CONFIG = Config()
SHORT = 2_000


def read(*pieces: bytes) -> tuple[Any, ...]:
    """Return what comes of a request: a refusal's status, the facts of a whole request and what follows, or a word."""
    reader = RequestReader(CONFIG, ("192.0.2.1", 1))
    try:
        for number, piece in enumerate(pieces):
            reader.feed(piece)
            if reader.is_complete:
                rest = bytes(reader.buffer) + b"".join(pieces[number + 1 :])
                request = reader.request
                if reader.is_cut_off:
                    return "too large", request.method, request.path
                return request.method, request.path, request.headers, request.body.getvalue(), rest
    except RefusedRequest as refusal:
        return (refusal.status,)
    return ("incomplete",)


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.promise("I12")
def test_a_request_is_read_alike_in_any_pieces_and_refused_as_it_must_be() -> None:
    for case in CASES:
        if len(case.data) <= SHORT:
            whole = read(case.data)
            assert {str(case): read(*in_pieces(case.data, size)) for size in (1, 3, 50)} == {str(case): whole}
            if len(whole) == 1 and whole != ("incomplete",):
                assert whole[0] in case.statuses, str(case)
            assert len(whole) == 5 or not case.stores, str(case)


def test_a_request_is_incomplete_until_its_last_byte() -> None:
    for data in (webhook(), next(case.data for case in CASES if case.kind == "fine extension")):
        assert {read(data[:size]) for size in range(len(data))} == {("incomplete",)}
        assert read(data)[3:] == (WEBHOOK, b"")


def test_an_impossible_request_is_refused_before_its_end() -> None:
    assert read(b"\x16\x03\x01") == (400,)
    assert read(b"GET / HTTP/1.1\nHost: localhost") == (400,)
    assert read(b"A" * 5_000) == (414,)
    assert read(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 12_000) == (431,)


@pytest.mark.promise("T11")
@pytest.mark.parametrize(
    ("path", "most"),
    [("/health", 65_536), (PATH.replace("webhooks/", "%77ebhooks%2F"), 1_048_576), ("/admin/", 2_621_440)],
)
def test_the_largest_body_depends_on_the_path(path: str, most: int) -> None:
    for size, expected in ((most, "incomplete"), (most + 1, "too large")):
        head = webhook(f"Content-Length: {size}", length=False, body=b"").replace(
            PATH.encode(), path.encode()
        )
        assert read(head)[0] == expected
        chunk = b"%x\r\n" % size + b"x" * size + b"\r\n"
        chunked = webhook("Transfer-Encoding: chunked", length=False, body=chunk)
        assert read(chunked.replace(PATH.encode(), path.encode(), 1))[0] == expected


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_is_large_from_one_byte_above_that_of_a_usual_webhook(is_chunked: bool) -> None:
    for size, is_large in ((65_536, False), (65_537, True)):
        reader = RequestReader(CONFIG, ("192.0.2.1", 1))
        reader.feed(
            webhook("Transfer-Encoding: chunked", length=False, body=b"20000\r\n" + b"x" * size)
            if is_chunked
            else webhook(f"Content-Length: {size}", length=False, body=b"")
        )
        assert (reader.is_complete, reader.is_large) == (False, is_large)


def test_the_largest_form_arrives_in_whole() -> None:
    case = Case("", "", webhook(line=b"POST /admin/ HTTP/1.1", body=b"x" * 2_621_440))
    assert len(read(*in_pieces(case.data, 65_536))[3]) == 2_621_440


@pytest.mark.parametrize("is_chunked", [False, True])
def test_the_beginning_of_a_body_is_never_read_in_place_of_the_whole(is_chunked: bool) -> None:
    reader = RequestReader(CONFIG, ("192.0.2.1", 1))
    head = "Transfer-Encoding: chunked" if is_chunked else "Content-Length: 70000"
    body = b"1ffff\r\n" + b"x" * 70_000 if is_chunked else b"x" * 300
    reader.feed(webhook(head, length=False, body=body, line=b"POST /health HTTP/1.1"))
    assert reader.is_cut_off
    for size in (-1, None, 70_001, 1_048_577):
        reader.request.body.seek(0)
        with pytest.raises(RequestDataTooBig):
            reader.request.body.read(size)
    reader.request.body.seek(0)
    assert reader.request.body.read(100) == b"x" * 100
