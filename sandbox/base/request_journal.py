"""The API requests to a service in their order, with the times from which a checker computes overlaps."""

import json
import threading
import time
from collections import deque
from itertools import count
from typing import Any

from sandbox.base.clock import utc_now
from sandbox.http.messages import Request

MAX_ENTRIES = 100_000
"""Beyond this number, the oldest entries are dropped."""

MAX_BODY_BYTES = 16_384
"""The part of a longer request body that is stored."""

_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "cookie", "proxy-authorization"})

JournalEntry = dict[str, Any]


class RequestJournal:
    """The journal of a service: one entry for each API request.

    An entry gets its number and ``started`` when the request is complete, before any fault delays it. ``started`` and
    ``ended`` are ``time.monotonic()`` seconds. ``ended`` is read before the first byte of the response is sent, so that
    two requests of which one was sent after the other never seem to overlap. It is null until then.
    """

    def __init__(self, limit: int = MAX_ENTRIES) -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=limit)
        self._numbers = count(1)
        self._lock = threading.Lock()

    def begin_entry(
        self, request: Request, entity: dict[str, Any] | None, has_secret_body: bool = False
    ) -> JournalEntry:
        """Add an entry for a request and return it. If ``has_secret_body``, the body is not stored."""
        entry: JournalEntry = {
            "n": 0,
            "at": utc_now(),
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": _mask_headers(request),
            "key": request.get_header("Idempotency-Key") or None,
            "attempt": request.get_header("X-Request-Id") or None,
            "body": "(secret)" if has_secret_body else _parse_body(request.body),
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

    def end_entry(
        self, entry: JournalEntry, status: int | None, fault: str | None, entity: dict[str, Any] | None
    ) -> None:
        """Complete an entry. ``status`` is None if the connection was closed without a response."""
        with self._lock:
            entry.update(status=status, fault=fault, entity=entity, ended=time.monotonic())

    def list_entries(self, since: int = 0, only_writes: bool = False) -> list[JournalEntry]:
        """Return copies of the entries numbered above ``since``, oldest first.

        If ``only_writes``, entries of safe methods are left out.
        """
        with self._lock:
            return [
                dict(entry)
                for entry in self._entries
                if entry["n"] > since and (entry["write"] or not only_writes)
            ]

    def clear(self) -> None:
        """Delete all entries. Numbering continues."""
        with self._lock:
            self._entries.clear()


def _mask_headers(request: Request) -> dict[str, str]:
    return {
        name: "(secret)" if name.lower() in _SECRET_HEADERS else str(value)
        for name, value in request.headers.items()
    }


def _parse_body(body: bytes) -> object:
    if not body:
        return None
    if len(body) > MAX_BODY_BYTES:
        return body[:MAX_BODY_BYTES].decode("utf-8", "replace")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
