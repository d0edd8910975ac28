"""Step 1 of a webhook: read the request's headers, client address and raw body. Nothing is parsed."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.http.request import HttpHeaders, UnreadablePostError
from django.utils import timezone

from webhooks.protocol.formats.webhook_format import MAX_BODY_BYTES

# The largest value of the column. A header can claim more.
_MAX_SIZE = 2**31 - 1
_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}|\[([^\[\]]+)\](?::[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """A request to a source's address. `headers` have lower-case names. `body` is None if it is larger
    than any source accepts. `query_string` is still percent-encoded.
    """

    slug: str
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)
    size: int | None
    address: str | None
    received_at: datetime
    method: str = "POST"
    query_string: str = ""
    path: str = ""


def read_incoming_request(request: HttpRequest, slug: str) -> IncomingRequest:
    """Read a request. Reads at most one byte more of the body than any source accepts, whatever its headers claim."""
    declared = _declared_size(request)
    body = None if declared is not None and declared > MAX_BODY_BYTES else _read_body(request)
    # A chunked body declares no length.
    if body is not None and len(body) > MAX_BODY_BYTES:
        body = None
    return IncomingRequest(
        slug=slug,
        headers=_lower_case_headers(request.META),
        body=body,
        size=declared if body is None else len(body),
        address=read_client_address(request),
        received_at=timezone.now(),
        method=request.method or "",
        query_string=request.META.get("QUERY_STRING", ""),
        path=request.path,
    )


def _lower_case_headers(meta: Mapping[str, Any]) -> dict[str, str]:
    """Return the request's headers by lower-case name. `request.headers` would convert each name for each request."""
    return {name: value for key, value in meta.items() if (name := _header_name(key)) is not None}


@lru_cache(maxsize=1024)
def _header_name(key: str) -> str | None:
    name = HttpHeaders.parse_header_name(key)
    return None if name is None else name.lower()


def _declared_size(request: HttpRequest) -> int | None:
    text = str(request.META.get("CONTENT_LENGTH") or "")
    # `isdigit` alone is true for characters such as ², which `int` refuses.
    if not (text.isascii() and text.isdigit()):
        return None
    return _MAX_SIZE if len(text) > len(str(_MAX_SIZE)) else min(int(text), _MAX_SIZE)


def _read_body(request: HttpRequest) -> bytes | None:
    """Return the body, None if the server has not read it to its end because it is too large.

    A chunked body has no declared length, so it is read from the server's stream up to its end.
    """
    is_chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    stream: Any = (
        request.META["wsgi.input"] if is_chunked and request.META.get("wsgi.input_terminated") else request
    )
    try:
        return bytes(stream.read(MAX_BODY_BYTES + 1))
    except RequestDataTooBig:
        return None
    except (UnreadablePostError, OSError):
        return b""


def sender_url(incoming: IncomingRequest) -> str:
    """Return the address that the sender used, made from `PUBLIC_URL`; "" if that is not set.

    The `Host` header does not count: the sender writes it.
    """
    if not settings.PUBLIC_URL:
        return ""
    query = f"?{incoming.query_string}" if incoming.query_string else ""
    return f"{settings.PUBLIC_URL}{incoming.path}{query}"


def read_client_address(request: HttpRequest) -> str | None:
    """Return the client's IP address without a zone, or None if it is not valid. X-Forwarded-For counts only as far as
    trusted proxies wrote it.
    """
    return client_address(request.META.get("REMOTE_ADDR", ""), request.headers.get("X-Forwarded-For", ""))


def client_address(address: str, forwarded: str) -> str | None:
    """Return the client's IP address, given that of the peer and X-Forwarded-For: see `read_client_address`."""
    if settings.TRUSTED_PROXIES:
        hops = [hop.strip() for hop in forwarded.split(",")]
        if len(hops) >= settings.TRUSTED_PROXIES:
            # Counted from the end: the client can write anything in front of what the trusted proxies append.
            address = hops[-settings.TRUSTED_PROXIES]
    try:
        return str(ipaddress.ip_address(remove_zone(_remove_port(address))))
    except ValueError:
        return None


def _remove_port(address: str) -> str:
    """Return an address as some proxies write it, `192.0.2.1:443` or `[2001:db8::1]:443`, without port and brackets."""
    match = _WITH_PORT.fullmatch(address)
    return address if match is None else match[1] or match[2]


def remove_zone(address: str) -> str:
    """Return an address without its zone (RFC 4007), which names an interface of this machine: `fe80::1%eth0` becomes
    `fe80::1`. PostgreSQL stores no zone.
    """
    return address.partition("%")[0]
