"""Chunked bodies: decoded as gunicorn's own parser decodes them, which reads a whole one at once."""

from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from hypothesis import given, settings
from hypothesis import strategies as st

from integration_hub.web_server.chunked_body import ChunkedBody
from integration_hub.web_server.refusals import RefusedRequest

pytestmark = pytest.mark.pure

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
FRAGMENTS = (
    *(b"0", b"1", b"3", b"a", b"F", b"\r\n", b"\r", b"\n", b";", b"a=b", b'"', b" ", b"\t", b"x", b"\x00"),
    *(b"0\r\n\r\n", b"1\r\na\r\n", b"X: y\r\n"),
)


def decode(data: bytes, size: int) -> Any:
    request = Request(Config(), IterUnreader([HEAD]), ("192.0.2.1", 1))
    body, buffer = ChunkedBody(1_000, lambda fields: check(request, fields)), bytearray()
    try:
        for start in range(0, len(data), size):
            buffer += data[start : start + size]
            body.feed(buffer)
    except RefusedRequest:
        return None
    return bytes(body.data) if body.is_complete else None


def check(request: Any, fields: bytes) -> None:
    try:
        request.parse_headers(fields, from_trailer=True)
    except Exception as error:
        raise RefusedRequest from error


def decode_with_gunicorn(data: bytes) -> Any:
    try:
        return Request(Config(), IterUnreader([HEAD + data]), ("192.0.2.1", 1)).body.read()
    except Exception:
        return None


@pytest.mark.submission
@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12), st.integers(1, 5))
def test_any_bytes_are_decoded_as_by_gunicorn(fragments: list[bytes], size: int) -> None:
    data = b"".join(fragments)
    assert decode(data, size) == decode_with_gunicorn(data)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=30), max_size=20), st.integers(1, 40))
def test_a_body_is_decoded_from_any_chunks_and_pieces(chunks: list[bytes], size: int) -> None:
    data = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert decode(data, size) == b"".join(chunks)


def test_no_more_is_decoded_than_is_allowed() -> None:
    body, buffer = ChunkedBody(10, print), bytearray(b"5\r\naaaaa\r\n" * 1_000)
    body.feed(buffer)
    assert body.is_too_large
    assert len(body.data) == 15
