"""Hop 1: a request as it came, nothing parsed: method, headers, address, raw bytes."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.request import HttpHeaders, UnreadablePostError
from django.utils import timezone

LARGEST_BODY = 65_536
_LARGEST_SIZE = 2**31 - 1  # what the column for it holds; a header can claim more


@dataclass(frozen=True, slots=True)
class Arrival:
    """`headers` have lower-case names. `body` is None where the request is larger than 65,536 bytes."""

    slug: str
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)
    size: int | None
    address: str | None
    received_at: datetime


def read_arrival(request: HttpRequest, slug: str) -> Arrival:
    """Read the request, at most one byte more than is allowed, whatever its headers claim."""
    declared = _declared_size(request)
    body = None if declared is not None and declared > LARGEST_BODY else _read(request)
    if body is not None and len(body) > LARGEST_BODY:
        body = None
    return Arrival(
        slug=slug,
        headers=_headers(request.META),
        body=body,
        size=declared if body is None else len(body),
        address=address_of(request),
        received_at=timezone.now(),
    )


def _headers(meta: Mapping[str, Any]) -> dict[str, str]:
    """By lower-case name: what `request.headers` has, which spells each name anew for each request."""
    return {name: value for key, value in meta.items() if (name := _header_name(key)) is not None}


@lru_cache(maxsize=1024)
def _header_name(key: str) -> str | None:
    name = HttpHeaders.parse_header_name(key)
    return None if name is None else name.lower()


def _declared_size(request: HttpRequest) -> int | None:
    text = str(request.META.get("CONTENT_LENGTH") or "")
    if not (text.isascii() and text.isdigit()):
        return None
    return _LARGEST_SIZE if len(text) > len(str(_LARGEST_SIZE)) else min(int(text), _LARGEST_SIZE)


def _read(request: HttpRequest) -> bytes:
    """The body. A chunked one has no length: it is read from the server's stream, which knows its end."""
    is_chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    stream: Any = (
        request.META["wsgi.input"] if is_chunked and request.META.get("wsgi.input_terminated") else request
    )
    try:
        return bytes(stream.read(LARGEST_BODY + 1))
    except (UnreadablePostError, OSError):
        return b""


def address_of(request: HttpRequest) -> str | None:
    """Who asked. X-Forwarded-For counts only as far as our own proxies wrote it."""
    found = request.META.get("REMOTE_ADDR", "")
    if settings.TRUSTED_PROXIES:
        hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
        if len(hops) >= settings.TRUSTED_PROXIES:
            found = hops[-settings.TRUSTED_PROXIES]
    try:
        return str(ipaddress.ip_address(found))
    except ValueError:
        return None
