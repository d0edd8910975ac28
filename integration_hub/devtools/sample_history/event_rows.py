"""The rows of one event after the other."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from integration_hub.devtools.sample_history import payload_samples
from integration_hub.devtools.sample_history.bulk_insert import Table, moment, name
from integration_hub.devtools.sample_history.call_rows import Calls, Told
from integration_hub.devtools.sample_history.scenarios import Story, Try, tell
from sync.models import Attempt, Call, Delivery, MappingVersion, Route
from webhooks.catalogue.codes import CATALOGUE
from webhooks.encryption.at_rest import seal
from webhooks.models import Event, Payload, Receipt

MARK = "generated-"  # what the source's own id of each of these events begins with
_TYPES = {"USER": ("USR", 0.86), "GROUP": ("GRP", 0.07), "FILE": ("FIL", 0.07)}
_OUTCOMES = {"succeeded": "succeeded", "unchanged": "unchanged", "superseded": "superseded", "held": "held"}
_REACHING = frozenset({"succeeded", "unchanged", "held", "target-rejected"})
_ACTIONS = {"succeeded": "updated", "unchanged": "none"}


class Rows:
    """Everything that the hub would have stored, but the audit log: its entries are chained, and nothing was done."""

    def __init__(self, routes: Sequence[Route], chance: Random, now: float, people: int) -> None:
        self._routes, self._chance, self._now, self._people = routes, chance, now, people
        self._weights = [_TYPES.get(route.entity_type, ("", 0.1))[1] for route in routes]
        newest = MappingVersion.objects.order_by("mapping_id", "number").values_list("mapping_id", "pk")
        self._versions = dict(newest)
        tables = (Payload, Event, Receipt, Delivery, Attempt, Call)
        self._payloads, self._events, self._receipts, self._deliveries, self._attempts, calls = map(
            Table, tables
        )
        self._calls = Calls(calls, self._payload, chance)
        self._tables = (
            *(self._payloads, self._events, self._receipts, self._deliveries, self._attempts),
            calls,
        )

    def write(self) -> None:
        """Store what was made since the last time."""
        for table in self._tables:
            table.write()

    def finish(self) -> None:
        for table in self._tables:
            table.finish()

    def event(self, at: float, *, with_bodies: bool) -> None:
        """An event that arrived at this moment, and what came of it until now."""
        route = self._chance.choices(self._routes, self._weights)[0]
        story = tell(self._chance, self._now - at)
        who = self._entity(route.entity_type)
        kind = self._chance.choices(("UPDATE", "CREATE", "DELETE"), (88, 9, 3))[0]
        told = json.dumps(payload_samples.webhook(who, route.entity_type, kind)).encode()
        payload = self._payload("webhook", told, at) if with_bodies else None
        signed = route.source.scheme != "none"
        event = self._events.add(
            uuid=self._name(at),
            source_id=route.source_id,
            event_id=f"{MARK}{self._events.last + 1}",
            entity_type=route.entity_type,
            entity_id=who,
            event_type=kind,
            is_signed=signed,
            digest=self._chance.randbytes(32),
            payload_id=payload,
            received_at=moment(at),
            state=story.state,
            code=story.code,
        )
        self._receipt(event, route, at, story, len(told), payload)
        if story.tries:
            self._delivery(event, route, who, at, story, with_bodies=with_bodies)

    def _entity(self, kind: str) -> str:
        """Few change often, most rarely."""
        pool = self._people if kind == "USER" else max(self._people // 40, 3)
        return f"{_TYPES.get(kind, (kind[:3],))[0]}-{int(pool * self._chance.random() ** 2):06d}"

    def _receipt(
        self, event: int, route: Route, at: float, story: Story, size: int, payload: int | None
    ) -> None:
        first = story.tries[0] if story.tries else Try(0.0, 0.01, story.code)
        code = first.code
        self._receipts.add(
            uuid=self._name(at),
            source_id=route.source_id,
            event_id=event,
            payload_id=payload,
            verified_by="none" if route.source.scheme == "none" else f"{route.source.scheme}:1",
            address=f"192.0.2.{self._chance.randrange(1, 20)}",
            size=size,
            received_at=moment(at),
            answered_at=moment(at + min(first.at + first.took, 10.0) + 0.002),
            status=CATALOGUE[code].status,
            code=code,
            is_final=len(story.tries) < 2,
        )

    def _delivery(
        self, event: int, route: Route, who: str, at: float, story: Story, *, with_bodies: bool
    ) -> None:
        last = story.tries[-1]
        is_open = story.due is not None or story.state == "held"
        delivery = self._deliveries.add(
            event_id=event,
            route_id=route.pk,
            identity_id=route.identity_id,
            commercial_id=route.commercial_id,
            entity_type=route.entity_type,
            entity_id=who,
            state=story.state,
            code=story.code,
            due_at=None if story.due is None else moment(at + story.due),
            tries=len(story.tries),
            last_number=len(story.tries),
            opened_at=moment(at),
            settled_at=None if is_open else moment(at + last.at + last.took),
        )
        for number, each in enumerate(story.tries, 1):
            self._attempt(delivery, route, who, at, number, each, with_bodies=with_bodies)

    def _attempt(
        self, delivery: int, route: Route, who: str, at: float, number: int, each: Try, *, with_bodies: bool
    ) -> None:
        outcome, began = _OUTCOMES.get(each.code, "failed"), at + each.at
        record = str(4000 + int(who[-6:])) if who[-6:].isdigit() else "4000"
        reaches = each.code in _REACHING
        told = self._told(route, who, record, each) if with_bodies else None
        attempt = self._attempts.add(
            number=number,
            delivery_id=delivery,
            key=name(self._chance.getrandbits(128)),
            cause="webhook" if number == 1 else "retry",
            started_at=moment(began),
            ended_at=moment(began + each.took),
            outcome=outcome,
            code=each.code,
            is_retryable=CATALOGUE[each.code].retryable,
            mapping_version_id=self._versions.get(route.mapping_id),
            action=_ACTIONS.get(each.code, ""),
            record_id=record if reaches else "",
            change_id=self._document("change", told.change, began) if told and reaches else None,
            answer_id=self._document("response", told.refusal, began) if told and told.refusal else None,
        )
        self._calls.of(attempt, route, who, began, each, told)

    @staticmethod
    def _told(route: Route, who: str, record: str, each: Try) -> Told:
        change = payload_samples.change(route.entity_type, who, record, each.code != "unchanged")
        return Told(
            change, payload_samples.refusal(each.code) if each.code in payload_samples.SENTENCES else None
        )

    def _name(self, at: float) -> str:
        """A UUID of version 7."""
        bits = int(at * 1000) << 80 | 0x7 << 76 | self._chance.getrandbits(12) << 64
        return name(bits | 0b10 << 62 | self._chance.getrandbits(62))

    def _document(self, kind: str, document: payload_samples.Document, at: float) -> int:
        return self._payload(kind, json.dumps(document).encode(), at)

    def _payload(self, kind: str, plain: bytes, at: float) -> int:
        values: dict[str, Any] = {"kind": kind, "sealed": seal(plain), "size": len(plain)}
        return self._payloads.add(**values, created_at=moment(at))
