"""The stand-in systems with lists: any number of people at both ends, alike but for those who are asked to differ.

`GET /-/people?number=10000&differs=5&missing=5&gone=5` sets the people, from number 0 on: those whose record differs, whose
record is missing, whom the identity service does not have any more, and then those who are alike. `GET /-/change?number=7`
gives a person another phone number. `GET /-/counts` returns the number of requests of each kind and resets it.
"""

import asyncio
import json
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import parse_qs

from tests.bench.machinery.stand_ins import FIRST_RECORD, Connection, record_number, user_name

_HEAD = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_MODIFIED = "2026-01-01T00:00:00.000Z"
Answer = tuple[int, Any]


@dataclass(slots=True)
class People:
    """How many people there are, and how many of them, from the first on, are not in step."""

    number: int = 0
    differs: int = 0
    missing: int = 0
    gone: int = 0

    def has_record(self, number: int) -> bool:
        return 0 <= number < self.number and not self.differs <= number < self.differs + self.missing

    def has_entity(self, number: int) -> bool:
        begin = self.differs + self.missing
        return 0 <= number < self.number and not begin <= number < begin + self.gone


class ListedSystems:
    """The state of both services."""

    def __init__(self) -> None:
        self.people = People()
        self.counts: Counter[str] = Counter()
        self._phones: dict[int, str] = {}
        self._new_phones = count(1)
        self._record_phones: dict[int, str] = {}
        self._entities: list[int] = []
        self._records: list[int] = []

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        """Return the status and the JSON value of the answer to a request."""
        path, _, query = target.partition("?")
        values = {name: found[0] for name, found in parse_qs(query).items()}
        if path.startswith("/-/"):
            return 200, self._control(path, values)
        kind, _, name = path.removeprefix("/api/").partition("/")
        if kind == "users":
            return self._read_entity(name) if name else self._list_entities(values)
        if name:
            return self._handle_record(method, int(name), body)
        return self._list_records(values) if "offset" in values else self._search(values)

    def _control(self, path: str, values: dict[str, str]) -> object:
        if path == "/-/people":
            self.people = People(**{name: int(value) for name, value in values.items()})
            self._phones, self._record_phones = {}, dict.fromkeys(range(self.people.differs), "+1")
            everybody = range(self.people.number)
            self._entities = [number for number in everybody if self.people.has_entity(number)]
            self._records = [number for number in everybody if self.people.has_record(number)]
        if path == "/-/change":
            self._phones[int(values["number"])] = f"+44{next(self._new_phones):09d}"
        counts = dict(self.counts)
        if path == "/-/counts":
            self.counts.clear()
        return counts

    def _list_entities(self, values: dict[str, str]) -> Answer:
        self.counts["entity pages"] += 1
        start, size = int(values.get("startIndex", 0)), int(values.get("count", 100))
        chosen = self._entities[start : start + size]
        return 200, {
            "resources": [self._entity(number) for number in chosen],
            "totalResults": len(self._entities),
        }

    def _read_entity(self, name: str) -> Answer:
        self.counts["entities"] += 1
        number = int(name[1:]) if name[1:].isdigit() else -1
        return (200, self._entity(number)) if self.people.has_entity(number) else (404, {"errorMessage": "?"})

    def _list_records(self, values: dict[str, str]) -> Answer:
        self.counts["record pages"] += 1
        start, size = int(values["offset"]), int(values.get("limit", 100))
        chosen = self._records[start : start + size]
        return 200, {"items": [self._record(number) for number in chosen], "total": len(self._records)}

    def _search(self, values: dict[str, str]) -> Answer:
        """Find a record by external id or address: both have the person's id."""
        self.counts["searches"] += 1
        value = next(iter(values.values()), "").partition("@")[0].upper()
        number = int(value[1:]) if value[1:].isdigit() else -1
        found = [self._record(number)] if self.people.has_record(number) else []
        return 200, {"items": found, "total": len(found)}

    def _handle_record(self, method: str, key: int, body: bytes) -> Answer:
        number = key - FIRST_RECORD
        self.counts["records" if method == "GET" else "writes"] += 1
        if not self.people.has_record(number):
            return 404, {"message": "?"}
        if body and (phone := json.loads(body).get("phone")):
            self._record_phones[number] = phone
        return 200, self._record(number)

    def _entity(self, number: int) -> dict[str, object]:
        user = user_name(number)
        return {
            "id": user,
            "username": user.lower(),
            "name": {"givenName": "Väinö", "familyName": "Österberg"},
            "emails": [{"address": f"{user}@example.com", "verified": True}],
            "mobiles": [{"number": self._phones.get(number, "+358401234567")}],
            "memberOf": ["GROUPREGULARS", "GROUPNEWSLETTER"],
            "locale": "fi",
            "meta": {"lastModified": _MODIFIED},
        }

    def _record(self, number: int) -> dict[str, object]:
        user = user_name(number)
        return {
            "id": record_number(user),
            "external_id": user,
            "email": f"{user.lower()}@example.com",
            "first_name": "Väinö",
            "last_name": "Österberg",
            "phone": self._record_phones.get(number, "+358401234567"),
            "language": "fi",
            "active": True,
            "version": 7,
            "created_at": _MODIFIED,
            "updated_at": _MODIFIED,
        }


class ListedConnection(Connection):
    """One persistent connection to the systems with lists."""

    def __init__(self, systems: ListedSystems) -> None:
        self._listed = systems
        self._received = bytearray()
        self._transport = None

    def _answer(self, head: bytes, body: bytes) -> None:
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        status, value = self._listed.answer(method, target, body)
        content = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        self._write(_HEAD % (status, len(content), content))


async def serve(ports: list[int]) -> None:
    """Serve the same systems on each of the ports until the process ends."""
    systems, loop = ListedSystems(), asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda: ListedConnection(systems), "127.0.0.1", port) for port in ports
    ]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(serve([int(port) for port in sys.argv[1:]]))
