"""The plain path, without `requests`, sends what `requests` would send."""

import re
import socket
from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3.connection import HTTPConnection

from connectors.http.message_heads import encode_plain_request, encode_request
from connectors.http.message_types import HttpEndpoint, HttpRequest, UrlNotAllowed
from connectors.http.transport import prepare_with_requests, transmit_request
from connectors.http.urls import UnsafeValueError, allowed_url_pattern, build_url, parse_base_url
from tests.support.http.servers import raw_serving, read_request

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

HEADERS = {
    "Accept": "application/json",
    "X-Request-Id": "attempt-1",
    "User-Agent": "hub",
    "Accept-Encoding": "identity",
}
PIECES = st.sampled_from(
    ["a", "Z9", "-", ".", "..", "~", "_", ":", "@", "!", "$&'()*+,;=", "%20", "%2e", "%2E", "%2f", "%2F", "%41", "%7E", "%7B",
     "%zz", "%", "/", "//", "?", "#", "[", "]", "{", "|", "\\", " ", "ä", "\t", "\n", "^", "`", '"', "<"]
)  # fmt: skip
ANY_URL = re.compile(r".*", re.DOTALL)
HOSTS = st.sampled_from(
    ["http://a.test", "https://a-b.test:8443", "http://127.0.0.1:59999", "http://[::1]:80", "http://A.test", "http://a..b",
     "http://a.test:080", "http://a.test:99999", "http://a.test:0", "ftp://a.test", "http://u@a.test", "http://.a", "http://ä.test"]
)  # fmt: skip
TAILS = st.lists(PIECES, max_size=8).map("".join)
VALUES = st.text("aZ9 \t\r\n\x00\x7f:;,=\"'äß€", max_size=6)


@pytest.mark.nightly
@given(
    st.sampled_from(["GET", "PATCH", "get", "A B", ""]),
    HOSTS,
    TAILS,
    st.dictionaries(VALUES, VALUES, max_size=2),
)
@settings(max_examples=400, deadline=None)
@example("GET", "http://a.test", "/a/%2E/b", {})
@example("GET", "http://a.test", "/./a", {})
@example("GET", "http://a.test", "/a/..", {})
@example("GET", "http://a.test", "/a?b/../c", {})
@example("GET", "http://a.test", "/a", {"a": "b", "A": "c"})
@example("GET", "http://a.test", "/a", {"a": "b\r\nc: d"})
@example("GET", "http://a.test", "/a", {"a: b": "c"})
def test_the_plain_path_builds_the_request_that_the_library_builds(
    method: str, host: str, tail: str, headers: dict[str, str]
) -> None:
    request = HttpRequest(method, host + tail, headers, None, ANY_URL)
    encoded = encode_plain_request(request, host)
    names = {name.lower() for name in headers}
    if encoded is not None and len(names) == len(headers):
        prepared = prepare_with_requests(request)
        assert prepared == request
        assert encode_request(prepared, host) == encoded


@pytest.mark.nightly
@given(
    st.text("aZ09._~:@|+=-", min_size=1, max_size=8),
    st.dictionaries(st.text(max_size=4), st.text(max_size=8), max_size=2),
)
@settings(max_examples=150, deadline=None)
def test_requests_of_connectors_use_the_plain_path_and_stay_within_the_base_url(
    entity_id: str, query: dict[str, str]
) -> None:
    base = parse_base_url("https://a.test:8443/p")
    with suppress(UnsafeValueError):
        url = build_url(base, "/u/{id}", {"id": entity_id}, query)
        allowed = allowed_url_pattern(base, "/u/{id}")
        assert encode_plain_request(HttpRequest("GET", url, HEADERS, None, allowed), base.origin)
        assert allowed.fullmatch(url)


def _sent(method: str, target: str, body: bytes | None) -> bytes:
    """Return the bytes that the library's own connection would send."""
    seen: list[bytes] = []

    def keep(connection: socket.socket) -> None:
        seen.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with raw_serving(keep) as url:
        connection = HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]))
        connection.request(method, target, body=body, headers=HEADERS)
        connection.getresponse()
        connection.close()
        host = url.removeprefix("http://")
    return seen[0].replace(host.encode(), b"a.test")


def test_a_request_has_the_lines_that_the_library_would_send() -> None:
    cases: list[tuple[str, bytes | None]] = [
        (method, body) for method in ("GET", "DELETE", "POST") for body in (None, b"", b'{"a":1}')
    ]
    for method, body in cases:
        request = HttpRequest(method, "http://a.test/u/1?a=b", HEADERS, body, ANY_URL)
        ours = encode_plain_request(request, "http://a.test")
        assert ours is not None
        theirs = _sent(method, "/u/1?a=b", body)
        ours_head, _, ours_body = ours.partition(b"\r\n\r\n")
        theirs_head, _, theirs_body = theirs.partition(b"\r\n\r\n")
        assert ours_body == theirs_body
        assert ours.split(b"\r\n")[0] == theirs.split(b"\r\n")[0]
        assert sorted(ours_head.split(b"\r\n")) == sorted(theirs_head.split(b"\r\n"))


def test_other_requests_are_sent_within_the_base_url_or_not_at_all() -> None:
    cases: list[tuple[str, dict[str, str]]] = [
        ("/u/%2e%2e", {}), ("/u/..", {}), ("/u/../v/w", {}), ("/u/.", {}), ("/v/1", {}), ("/u/1/2", {}), ("/u/1#x", {}),
        ("/u/1", {"X": "a\r\nHost: evil"}), ("/u/1", {"X": "€"}), ("/u/1", {"X: y\r\nZ": "a"}), ("/u/1", {"": "a"}),
    ]  # fmt: skip
    for path, headers in cases:
        seen: list[bytes] = []
        with raw_serving(lambda connection, seen=seen: seen.append(read_request(connection))) as url:
            base = parse_base_url(url)
            request = HttpRequest("GET", url + path, headers, None, allowed_url_pattern(base, "/u/{id}"))
            with pytest.raises(UrlNotAllowed):
                transmit_request(request, HttpEndpoint(base.origin, 60.0, 1000))
        assert seen == []


def test_other_values_are_encoded_by_the_library() -> None:
    seen: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        seen.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with raw_serving(answer) as url:
        base = parse_base_url(url)
        request = HttpRequest("get", f"{url}/u/{quote('ä')}|", {"X-Name": "ä"}, None, ANY_URL)
        assert transmit_request(request, HttpEndpoint(base.origin, 60.0, 1000)).status == 204
    assert seen[0].startswith(b"GET /u/%C3%A4%7C HTTP/1.1\r\n")
    assert "\r\nX-Name: ä\r\n".encode("latin-1") in seen[0]


def test_a_request_for_another_origin_than_the_connections_is_not_sent() -> None:
    with pytest.raises(UrlNotAllowed):
        transmit_request(
            HttpRequest("GET", "http://a.test/x", {}, None, ANY_URL),
            HttpEndpoint("http://a.test:81", 1.0, 1000),
        )
