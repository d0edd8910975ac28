"""The head of a request as bytes, where method, URL and headers are plain. Pure.

Plain is what `requests` would send just as it stands. Only that is built here; `http` has `requests` prepare the rest,
and the tests hold the two ways to the same bytes.
"""

import re
from collections.abc import Iterable, Mapping

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

# By RFC 9110, 8.6, other methods without content say that its length is nought.
_WITHOUT_CONTENT = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


def is_plain(method: str, url: str, headers: Mapping[str, str], lines: str) -> bool:
    """Whether a request may be sent as it stands; `lines` are those of the headers, one for each of them."""
    return bool(
        _METHOD.fullmatch(method)
        and _URL.fullmatch(url)
        and _LINES.fullmatch(lines)
        and lines.count("\n") == len(headers)
        and ":" not in "".join(headers)
    )


def header_lines(headers: Iterable[tuple[str, str]]) -> str:
    """The headers as they stand in a request."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers])


def head(method: str, target: str, host: str, lines: str, body: bytes | None) -> bytes:
    """All that goes out before the body. UnicodeEncodeError where a header's value is not Latin-1."""
    if body is not None:
        lines += f"Content-Length: {len(body)}\r\n"
    elif method not in _WITHOUT_CONTENT:
        lines += "Content-Length: 0\r\n"
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode("latin-1")
