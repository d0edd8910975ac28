"""The head of an answer, where it is plain: what nearly every system sends. Pure.

Plain is what `http.client` would read just so, told by one look. It reads all the rest, slowly, and the tests hold the
two ways to the same result.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

# An answer with a body: no 1xx, and neither 204 nor 304, which have none whatever their length says. At most as many
# lines as http.client takes.
_HEAD = re.compile(
    rb"HTTP/1\.1 (?!204|304)([2-5][0-9]{2})(?: [\x20-\x7e]*)?\r\n"
    rb"((?:[A-Za-z0-9!#$%&'*+.^_`|~-]+:[\x20-\x7e]*\r\n){1,100})\r\n"
)
_LENGTH = re.compile(r"[0-9]{1,15}")


class Head(NamedTuple):
    """`headers` by lower-case name. The body begins at `ends_at` and has `length` bytes."""

    status: int
    headers: Mapping[str, str]
    length: int
    ends_at: int


def read_head(data: bytes) -> Head | None:
    """The head that `data` begins with; it answers anything but a HEAD. None where it is not plain, or not whole."""
    found = _HEAD.match(data)
    if found is None:
        return None
    headers: dict[str, str] = {}
    for line in found[2].decode("ascii").split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        name = name.lower()
        if name in headers:
            headers[name] = f"{headers[name]}, {value.lstrip(' ')}"
        else:
            headers[name] = value.lstrip(" ")
    length = headers.get("content-length", "")
    if (
        "transfer-encoding" in headers
        or not _LENGTH.fullmatch(length)
        or headers.get("connection", "keep-alive").lower() != "keep-alive"
    ):
        return None
    return Head(int(found[1]), headers, int(length), found.end())
