"""Making the records of an exchange."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from sync.connectors.call import Call
from sync.connectors.exchange import MASK, Exchange, Outgoing, kept
from sync.connectors.wire import Answer


class Stopwatch:
    """Starts with the sending and makes the record of what became of it."""

    def __init__(self, outgoing: Outgoing, call: Call, headers: Mapping[str, str]) -> None:
        self._outgoing = outgoing
        self._call = call
        self._headers = headers
        self._started_at = datetime.now(UTC)
        self._started = time.monotonic()

    def answered(self, answer: Answer, error: str | None) -> Exchange:
        """The record of an answer, whatever its status."""
        # A token answer is all secret.
        body = MASK.encode() if self._outgoing.purpose == "token" else answer.body
        return self._exchange(answer.status, kept(answer.headers), body, answer.received, error)

    def failed(self, error: str, received: int) -> Exchange:
        """The record of an exchange without a whole answer."""
        return self._exchange(None, {}, b"", received, error)

    def _exchange(
        self, status: int | None, headers: Mapping[str, str], body: bytes, received: int, error: str | None
    ) -> Exchange:
        return Exchange(
            outgoing=self._outgoing,
            status=status,
            headers=headers,
            body=body,
            started_at=self._started_at,
            seconds=time.monotonic() - self._started,
            sent_bytes=size_of(self._call, self._headers),
            received_bytes=received,
            error=error,
        )


def merged(headers: Mapping[str, str], over: Mapping[str, str]) -> dict[str, str]:
    """The headers with those `over` them, whatever the case of their names."""
    names = [name.lower() for name in over]
    return {name: value for name, value in headers.items() if name.lower() not in names} | dict(over)


def outgoing(call: Call, headers: Mapping[str, str], secret_headers: Mapping[str, str]) -> Outgoing:
    """What is put on record before the call is sent: all of it but its secrets, which `headers` has under the
    same names."""
    masked = MASK.encode() if call.purpose == "token" else call.body
    shown = {**headers, **dict.fromkeys(secret_headers, MASK)}
    return Outgoing(call.purpose, call.method, call.url, call.template, shown, masked, call.key, call.write)


def size_of(call: Call, headers: Mapping[str, str]) -> int:
    """Bytes of the request line, the headers with Host, and the body."""
    target = call.url[len(call.origin) :]
    lines = sum(len(name) + len(value) + 4 for name, value in headers.items())
    host = len("Host: \r\n") + len(call.origin.partition("://")[2])
    return len(call.method) + len(target) + 12 + host + lines + 2 + len(call.body or b"")
