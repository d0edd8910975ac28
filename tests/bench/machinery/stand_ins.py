"""An identity service and a shop that cost as little as possible: one process, one loop, raw protocol, no state.

They answer the requests of the seeded connections. A person's phone number differs at every read, so that each event
has something to change. `GET /-/calls?delay=20` answers the number of calls and sets the delay in milliseconds.
"""

import asyncio
import json
import sys
from collections import Counter
from datetime import UTC, datetime
from itertools import count
from urllib.parse import parse_qs, urlsplit

FIRST_RECORD = 100_000
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


def user_name(number: int) -> str:
    """Return the identity service's id of a person."""
    return f"U{number:07d}"


def record_number(user: str) -> int:
    """Return the shop's id of a person."""
    return FIRST_RECORD + int(user[1:])


class Systems:
    """The state of both services: number of calls, delay, and the next phone number."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.delay = 0.0
        self._phones = count(1)

    def answer(self, method: str, target: str, body: bytes) -> bytes:
        """Return the body of the answer to a request."""
        path, _, query = target.partition("?")
        if path == "/-/calls":
            self.delay = float(parse_qs(urlsplit(target).query).get("delay", ["0"])[0]) / 1000
            return _json(self.calls)
        found = self._find(method, path, query, body)
        return _json(found)

    def _find(self, method: str, path: str, query: str, body: bytes) -> dict[str, object]:
        kind, _, name = path.removeprefix("/api/").partition("/")
        if kind == "users":
            self.calls["fetch"] += 1
            return _person(name, next(self._phones))
        if not name:
            self.calls["search"] += 1
            return {"items": [_customer(record_number(query.partition("=")[2]))]}
        self.calls["get" if method == "GET" else "update"] += 1
        return _customer(int(name)) | (json.loads(body) if body else {})


def _person(user: str, phone: int) -> dict[str, object]:
    return {
        "id": user,
        "username": user.lower(),
        "name": {"givenName": "Väinö", "familyName": "Österberg"},
        "emails": [{"address": f"{user}@example.com", "verified": True}],
        "mobiles": [{"number": f"+358{phone:09d}"}],
        "memberOf": ["GROUPREGULARS", "GROUPNEWSLETTER"],
        "locale": "fi",
        "meta": {"lastModified": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")},
    }


def _customer(number: int) -> dict[str, object]:
    user = user_name(number - FIRST_RECORD)
    return {
        "id": number,
        "external_id": user,
        "email": f"{user.lower()}@example.com",
        "first_name": "Väinö",
        "last_name": "Österberg",
        "phone": "+358401234567",
        "language": "fi",
        "active": True,
        "version": 7,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Connection(asyncio.Protocol):
    """One persistent connection; its requests come one after the other."""

    def __init__(self, systems: Systems) -> None:
        self._systems = systems
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end])
        _, _, rest = head.lower().partition(b"content-length:")
        total = end + 4 + (int(rest.split(b"\r\n", 1)[0]) if rest else 0)
        if len(self._received) < total:
            return
        body = bytes(self._received[end + 4 : total])
        del self._received[:total]
        self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        answer = self._systems.answer(method, target, body)
        reply = _HEAD % (len(answer), answer)
        if self._systems.delay:
            asyncio.get_running_loop().call_later(self._systems.delay, self._write, reply)
        else:
            self._write(reply)

    def _write(self, reply: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(reply)


async def serve(ports: list[int]) -> None:
    """Serve the same systems on each of the ports until the process ends."""
    systems, loop = Systems(), asyncio.get_running_loop()
    servers = [await loop.create_server(lambda: Connection(systems), "127.0.0.1", port) for port in ports]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(serve([int(port) for port in sys.argv[1:]]))
