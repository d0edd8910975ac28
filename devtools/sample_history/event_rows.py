"""The rows of generated events."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from config_schema.codes.codes import CATALOGUE
from database.encryption.at_rest import encrypt
from devtools.sample_history import payload_samples
from devtools.sample_history.bulk_insert import BulkTable, format_time, format_uuid
from devtools.sample_history.call_rows import AttemptContents, CallRows
from devtools.sample_history.scenarios import EventScenario, ScenarioAttempt, draw_scenario
from sync.models import Attempt, Call, Delivery, Finding, MappingVersion, Route
from webhooks.models import Event, Payload, Receipt

EVENT_ID_PREFIX = "generated-"  # of the source's own id of each generated event
_TYPES = {"USER": ("USR", 0.86), "GROUP": ("GRP", 0.07), "FILE": ("FIL", 0.07)}
_OUTCOMES = {"succeeded": "succeeded", "unchanged": "unchanged", "superseded": "superseded", "held": "held"}
_REACHES_TARGET = frozenset({"succeeded", "unchanged", "held", "target-rejected"})
_ACTIONS = {"succeeded": "updated", "unchanged": "none"}


class HistoryRows:
    """The rows that the hub would have stored for events, without the audit log.

    The entries of the audit log are chained and attest to real actions, so none are generated.
    """

    def __init__(self, routes: Sequence[Route], rng: Random, now: float, people: int) -> None:
        self._routes, self._rng, self._now, self._people = routes, rng, now, people
        self._weights = [_TYPES.get(route.entity_type, ("", 0.1))[1] for route in routes]
        newest = MappingVersion.objects.order_by("mapping_id", "number").values_list("mapping_id", "pk")
        self._versions = dict(newest)
        tables = (Payload, Event, Receipt, Delivery, Attempt, Call)
        self._payloads, self._events, self._receipts, self._deliveries, self._attempts, calls = map(
            BulkTable, tables
        )
        self._calls = CallRows(calls, self._add_payload, rng)
        self._tables = (
            *(self._payloads, self._events, self._receipts, self._deliveries, self._attempts),
            calls,
        )

    def write_rows(self) -> None:
        """Store the rows that were added since the last call."""
        for table in self._tables:
            table.write_rows()

    def advance_sequences(self) -> None:
        """Advance the key sequences of all tables beyond the added rows."""
        for table in self._tables:
            table.advance_sequence()

    def add_event(self, at: float, *, with_bodies: bool) -> None:
        """Add an event that arrived at the time `at`, with its deliveries, attempts and calls until now."""
        route = self._rng.choices(self._routes, self._weights)[0]
        scenario = draw_scenario(self._rng, self._now - at)
        entity_id = self._choose_entity(route.entity_type)
        event_type = self._rng.choices(("UPDATE", "CREATE", "DELETE"), (88, 9, 3))[0]
        body = json.dumps(payload_samples.build_webhook(entity_id, route.entity_type, event_type)).encode()
        payload = self._add_payload("webhook", body, at) if with_bodies else None
        is_signed = route.source.scheme != "none"
        event = self._events.add_row(
            uuid=self._create_uuid(at),
            source_id=route.source_id,
            event_id=f"{EVENT_ID_PREFIX}{self._events.last_key + 1}",
            entity_type=route.entity_type,
            entity_id=entity_id,
            event_type=event_type,
            is_signed=is_signed,
            digest=self._rng.randbytes(32),
            payload_id=payload,
            received_at=format_time(at),
            state=scenario.state,
            code=scenario.code,
        )
        self._add_receipt(event, route, at, scenario, len(body), payload)
        if scenario.attempts:
            self._add_delivery(event, route, entity_id, at, scenario, with_bodies=with_bodies)

    def _choose_entity(self, entity_type: str) -> str:
        """Choose an entity. A few entities change often, most of them rarely."""
        pool = self._people if entity_type == "USER" else max(self._people // 40, 3)
        return f"{_TYPES.get(entity_type, (entity_type[:3],))[0]}-{int(pool * self._rng.random() ** 2):06d}"

    def _add_receipt(
        self, event: int, route: Route, at: float, scenario: EventScenario, size: int, payload: int | None
    ) -> None:
        first = scenario.attempts[0] if scenario.attempts else ScenarioAttempt(0.0, 0.01, scenario.code)
        code = first.code
        self._receipts.add_row(
            uuid=self._create_uuid(at),
            source_id=route.source_id,
            event_id=event,
            payload_id=payload,
            verified_by="none" if route.source.scheme == "none" else f"{route.source.scheme}:1",
            address=f"192.0.2.{self._rng.randrange(1, 20)}",
            size=size,
            received_at=format_time(at),
            answered_at=format_time(at + min(first.after_seconds + first.duration, 10.0) + 0.002),
            status=CATALOGUE[code].status,
            code=code,
            is_final=len(scenario.attempts) < 2,
        )

    def _add_delivery(
        self,
        event: int,
        route: Route,
        entity_id: str,
        at: float,
        scenario: EventScenario,
        *,
        with_bodies: bool,
    ) -> None:
        last = scenario.attempts[-1]
        is_open = scenario.due_after_seconds is not None or scenario.state == "held"
        delivery = self._deliveries.add_row(
            event_id=event,
            route_id=route.pk,
            identity_id=route.identity_id,
            target_id=route.target_id,
            entity_type=route.entity_type,
            entity_id=entity_id,
            state=scenario.state,
            code=scenario.code,
            due_at=None
            if scenario.due_after_seconds is None
            else format_time(at + scenario.due_after_seconds),
            attempts_used=len(scenario.attempts),
            last_number=len(scenario.attempts),
            opened_at=format_time(at),
            settled_at=None if is_open else format_time(at + last.after_seconds + last.duration),
        )
        for number, attempt in enumerate(scenario.attempts, 1):
            self._add_attempt(delivery, route, entity_id, at, number, attempt, with_bodies=with_bodies)

    def _add_attempt(
        self,
        delivery: int,
        route: Route,
        entity_id: str,
        at: float,
        number: int,
        attempt: ScenarioAttempt,
        *,
        with_bodies: bool,
    ) -> None:
        outcome, started = _OUTCOMES.get(attempt.code, "failed"), at + attempt.after_seconds
        record = str(4000 + int(entity_id[-6:])) if entity_id[-6:].isdigit() else "4000"
        reaches_target = attempt.code in _REACHES_TARGET
        contents = self._build_contents(route, entity_id, record, attempt) if with_bodies else None
        attempt_id = self._attempts.add_row(
            number=number,
            delivery_id=delivery,
            key=format_uuid(self._rng.getrandbits(128)),
            cause="webhook" if number == 1 else "retry",
            started_at=format_time(started),
            ended_at=format_time(started + attempt.duration),
            outcome=outcome,
            code=attempt.code,
            is_retryable=CATALOGUE[attempt.code].retryable,
            mapping_version_id=self._versions.get(route.mapping_id),
            action=_ACTIONS.get(attempt.code, ""),
            record_id=record if reaches_target else "",
            findings_id=self._add_findings(contents, started, reaches_target=reaches_target),
        )
        self._calls.add_calls(attempt_id, route, entity_id, started, attempt, contents)

    @staticmethod
    def _build_contents(
        route: Route, entity_id: str, record: str, attempt: ScenarioAttempt
    ) -> AttemptContents:
        change = payload_samples.build_change(
            route.entity_type, entity_id, record, attempt.code != "unchanged"
        )
        return AttemptContents(
            change,
            payload_samples.build_refusal(attempt.code) if attempt.code in payload_samples.REFUSALS else None,
        )

    def _create_uuid(self, at: float) -> str:
        """Return a random UUID of version 7 for the time `at`."""
        bits = int(at * 1000) << 80 | 0x7 << 76 | self._rng.getrandbits(12) << 64
        return format_uuid(bits | 0b10 << 62 | self._rng.getrandbits(62))

    def _add_findings(
        self, contents: AttemptContents | None, at: float, *, reaches_target: bool
    ) -> int | None:
        """Store what an attempt found. Returns the key of the payload, or None if it found nothing."""
        change = contents.change if contents and reaches_target else None
        parts = {Finding.CHANGE: change, Finding.ANSWER: contents.refusal if contents else None}
        document = {part: value for part, value in parts.items() if value is not None}
        return self._add_payload("findings", json.dumps(document).encode(), at) if document else None

    def _add_payload(self, kind: str, plain: bytes, at: float) -> int:
        values: dict[str, Any] = {"kind": kind, "encrypted": encrypt(plain), "size": len(plain)}
        return self._payloads.add_row(**values, created_at=format_time(at))
