"""What a service was asked, in order, with the moments that let a checker compute overlaps."""

import json
import threading
import time
from collections import deque
from itertools import count
from typing import Any

from sandbox.base.clock import utc_now
from sandbox.http.messages import Request

LIMIT = 100_000
"""Entries kept; the oldest make room."""

KEPT_BODY = 16_384
"""Bytes of a request's body that are kept."""

_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "cookie", "proxy-authorization"})

Entry = dict[str, Any]


class Journal:
    """Entries get their number and ``started`` when the request is complete, before anything slows it down.

    ``started`` and ``ended`` are ``time.monotonic()`` seconds. ``ended`` is taken before the first byte of
    the answer leaves, so that two requests sent one after the other never seem to overlap; it is null while
    one is under way.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._numbers = count(1)
        self._lock = threading.Lock()

    def begin(self, request: Request, entity: dict[str, Any] | None, secret_body: bool = False) -> Entry:
        entry: Entry = {
            "n": 0,
            "at": utc_now(),
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": _masked(request),
            "key": request.header("Idempotency-Key") or None,
            "attempt": request.header("X-Request-Id") or None,
            "body": "(secret)" if secret_body else _readable(request.body),
            "write": request.is_write,
            "ended": None,
            "status": None,
            "fault": None,
            "entity": entity,
        }
        with self._lock:
            entry["n"], entry["started"] = next(self._numbers), time.monotonic()
            self._entries.append(entry)
        return entry

    def end(self, entry: Entry, status: int | None, fault: str | None, entity: dict[str, Any] | None) -> None:
        """``status`` is None where the connection was closed without an answer."""
        with self._lock:
            entry.update(status=status, fault=fault, entity=entity, ended=time.monotonic())

    def entries(self, since: int = 0, writes: bool = False) -> list[Entry]:
        """Copies of the entries numbered above ``since``, oldest first; with ``writes`` only those that may
        change.
        """
        with self._lock:
            return [
                dict(each) for each in self._entries if each["n"] > since and (each["write"] or not writes)
            ]

    def clear(self) -> None:
        """Forgets the entries; numbers go on."""
        with self._lock:
            self._entries.clear()


def _masked(request: Request) -> dict[str, str]:
    return {
        name: "(secret)" if name.lower() in _SECRET_HEADERS else str(value)
        for name, value in request.headers.items()
    }


def _readable(body: bytes) -> object:
    if not body:
        return None
    if len(body) > KEPT_BODY:
        return body[:KEPT_BODY].decode("utf-8", "replace")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
