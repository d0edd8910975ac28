"""Heads (start line and headers) of plain requests and responses, encoded and parsed as bytes. Pure.

A request is plain if `requests` would send it unchanged, a response if `http.client` would read it unchanged.
Those libraries handle the rest, and tests check that both encode the same bytes.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from connectors.http.message_types import HttpRequest

_METHOD = re.compile(r"[A-Z]{1,20}")
# No segment of dots, nothing escaped that need not be, no port above 59999: these `requests` would rewrite or refuse.
_URL = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9-]|\.(?!\.))*)(?::(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}))?"
    r"(?:/(?!\.{1,2}(?:[/?]|\Z))(?:[A-Za-z0-9._~:@!$&'()*+,;=-]|{escaped})*)+"
    r"(?:\?(?:[A-Za-z0-9._~:@!$&'()*+,;=/?-]|{escaped})+)?".replace(
        "{escaped}", "%(?:[018-9A-F][0-9A-F]|2[0-9A-CF]|3[A-F]|40|5[B-E]|60|7[B-DF])"
    ),
    re.ASCII,
)
_LINES = re.compile(
    r"(?:[A-Za-z0-9!#$%&'*+.^_`|~-]+: (?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?\r\n)*", re.ASCII
)

# By RFC 9110, 8.6, other methods without content state a length of 0.
_WITHOUT_CONTENT = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


def encode_plain_request(request: HttpRequest, origin: str) -> bytes | None:
    """Encode a plain request to an origin as it is. Returns None if it is not plain."""
    lines = _format_header_lines(request.headers)
    return _encode(request, origin, lines) if can_send_unchanged(request, lines) else None


def encode_request(request: HttpRequest, origin: str) -> bytes:
    """Encode a request that `requests` prepared. Raises UnicodeEncodeError if a header value is not Latin-1."""
    return _encode(request, origin, _format_header_lines(request.headers))


def can_send_unchanged(request: HttpRequest, lines: str) -> bool:
    """Return True if a request can be sent unchanged. `lines` are its formatted headers, one line each."""
    return bool(
        _METHOD.fullmatch(request.method)
        and _URL.fullmatch(request.url)
        and _LINES.fullmatch(lines)
        and lines.count("\n") == len(request.headers)
        and ":" not in "".join(request.headers)
    )


def _format_header_lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def count_request_bytes(request: HttpRequest, origin: str) -> int:
    """Return the number of bytes of a request as `encode_request` encodes it."""
    head = _format_head(request, origin, _format_header_lines(request.headers))
    return len(head) + len(request.body or b"")


def _encode(request: HttpRequest, origin: str, lines: str) -> bytes:
    return _format_head(request, origin, lines).encode("latin-1") + (request.body or b"")


def _format_head(request: HttpRequest, origin: str, lines: str) -> str:
    """Return the start line and the headers, each character of which is one byte."""
    scheme, _, host = origin.partition("://")
    # Libraries leave the default port out of the Host header too.
    host = host.removesuffix(":443" if scheme == "https" else ":80")
    target = request.url[len(origin) :]
    if request.body is not None:
        lines += f"Content-Length: {len(request.body)}\r\n"
    elif request.method not in _WITHOUT_CONTENT:
        lines += "Content-Length: 0\r\n"
    return f"{request.method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n"


# An answer with a body: no 1xx, and neither 204 nor 304, which have none whatever their length says. At most as many
# lines as http.client takes.
_HEAD = re.compile(
    rb"HTTP/1\.1 (?!204|304)([2-5][0-9]{2})(?: [\x20-\x7e]*)?\r\n"
    rb"((?:[A-Za-z0-9!#$%&'*+.^_`|~-]+:[\x20-\x7e]*\r\n){1,100})\r\n"
)
_LENGTH = re.compile(r"[0-9]{1,15}")


class ResponseHead(NamedTuple):
    """Head of a response. `headers` by lower-case name; the body begins at `body_offset` and has
    `content_length` bytes.
    """

    status: int
    headers: Mapping[str, str]
    content_length: int
    body_offset: int


def parse_response_head(data: bytes) -> ResponseHead | None:
    """Parse the head at the start of `data`, which must not answer HEAD. Returns None if it is incomplete or
    not plain.
    """
    match = _HEAD.match(data)
    if match is None:
        return None
    headers: dict[str, str] = {}
    for line in match[2].decode("ascii").split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        name = name.lower()
        # The spaces around a value are not part of it (RFC 9110, 5.5).
        value = value.strip(" ")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    length = headers.get("content-length", "")
    # The library reads bodies without one certain length, and responses that close the connection.
    if (
        "transfer-encoding" in headers
        or not _LENGTH.fullmatch(length)
        or headers.get("connection", "keep-alive").lower() != "keep-alive"
    ):
        return None
    return ResponseHead(int(match[1]), headers, int(length), match.end())
