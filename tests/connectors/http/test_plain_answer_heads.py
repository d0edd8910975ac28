"""The fast parser reads of every answer what `http.client` reads, however it is split."""

import http.client
import itertools
import socket
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.http.deadline import Deadline
from connectors.http.message_heads import parse_response_head
from connectors.http.message_types import HttpEndpoint, InvalidResponse
from connectors.http.response_reader import (
    CountedResponse,
    ExchangeState,
    ResponseTooLarge,
    receive_response,
)

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

WIRE = HttpEndpoint("http://127.0.0.1", 60.0, 1_000)

line = st.sampled_from(
    [
        "Content-Type: application/json",
        "Content-Length: 7",
        "content-length: 7",
        "Content-Length: 7, 7",
        "Content-Length: +7",
        "Content-Length: 12",
        "Content-Length: 0",
        "Content-Length: 1001",
        "Content-Length:",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Connection: close",
        "Connection: keep-alive",
        "Connection: Keep-Alive, Upgrade",
        "Content-Encoding: gzip",
        "Content-Encoding: identity",
        'ETag:\t"a"',
        "ETag:   b  ",
        "X-Two: 1",
        "x-two: 2",
        " folded",
        "no colon",
        "Bad Name: x",
        "X-High: \u00e9",
        ": nameless",
    ]
)
status = st.sampled_from(
    [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 304 Not Modified",
        "HTTP/1.1 404 Not Found",
        "HTTP/1.1 503 Service Unavailable",
        "HTTP/1.1 600 Odd",
        "HTTP/1.1 099 Odd",
        "HTTP/2 200 OK",
        "ICY 200 OK",
        "",
    ]
)
body = st.sampled_from([b"", b"1234567", b"12345", b"123456789", b"3\r\nabc\r\n0\r\n\r\n", b"0\r\n\r\n"])


def outcome(data: bytes, cuts: Sequence[int], method: str, *, plainly: bool) -> object:
    """Return status, headers, body and whether the connection stays open; or the type of the error."""
    ours, theirs = socket.socketpair()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]

    def send() -> None:
        with theirs:
            for start, end in itertools.pairwise(places):
                theirs.sendall(data[start:end])

    sender = threading.Thread(target=send)
    with ours:
        ours.settimeout(60)
        passage = ExchangeState(WIRE, Deadline(WIRE.deadline_seconds))
        sender.start()
        try:
            if plainly:
                answer, stays = receive_response(ours, passage, method)
            else:
                response = CountedResponse(ours, passage, method)
                answer, stays = response.read_response(), response.leaves_connection_open
        except (http.client.HTTPException, OSError, ValueError, ResponseTooLarge, InvalidResponse) as error:
            return type(error)
        finally:
            sender.join()
        return answer.status, dict(answer.headers), answer.body, stays


@pytest.mark.nightly
@settings(max_examples=600, deadline=None)
@given(
    status,
    st.lists(line, max_size=6),
    body,
    st.lists(st.integers(0, 200), max_size=2),
    st.sampled_from(["GET", "PATCH", "HEAD"]),
)
def test_the_fast_parser_agrees_with_the_library(
    first: str, lines: list[str], rest: bytes, cuts: list[int], method: str
) -> None:
    data = "\r\n".join([first, *lines, "", ""]).encode("latin-1") + rest
    slowly = outcome(data, cuts, method, plainly=False)
    quickly = outcome(data, cuts, method, plainly=True)
    if isinstance(slowly, tuple) and isinstance(quickly, tuple) and slowly[3] != quickly[3]:
        # Extra bytes follow the answer: the library ignores them, we close the connection.
        assert not quickly[3]
        slowly = (*slowly[:3], False)
    assert quickly == slowly


@pytest.mark.parametrize(
    ("header", "stays"),
    [
        ("X-One: 1", True),
        ("Content-Length: 0", True),
        ("Content-Length: 2", False),
        ("Transfer-Encoding: chunked", False),
    ],
)
@pytest.mark.parametrize("plainly", [True, False])
def test_a_connection_whose_204_states_a_body_is_not_used_again(
    header: str, stays: bool, plainly: bool
) -> None:
    """Such a body may come late, in place of the next answer."""
    data = f"HTTP/1.1 204 No Content\r\n{header}\r\n\r\n".encode()
    name, _, value = header.partition(": ")
    assert outcome(data, [], "DELETE", plainly=plainly) == (204, {name.lower(): value}, b"", stays)


def test_usual_answers_are_read_by_the_fast_parser() -> None:
    """Without this, the test above could compare the library with itself."""
    data = (
        b"HTTP/1.1 200 OK\r\nServer: shop\r\nDate: Tue, 24 Nov 2026 20:00:00 GMT\r\n"
        b"Content-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n{}"
    )
    head = parse_response_head(data)
    assert head is not None
    assert (head.status, head.content_length, data[head.body_offset :]) == (200, 2, b"{}")
    assert head.headers["set-cookie"] == "a=1, b=2"


def test_ambiguous_answers_are_left_to_the_library() -> None:
    cases: list[bytes] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: \x00\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 100 + b"Content-Length: 2\r\n\r\n",
    ]
    for head in cases:
        assert parse_response_head(head) is None
