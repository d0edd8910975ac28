"""A history of events: their rows as an export has them, and the audit entries that the hub writes for them."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from audit.format.canonical_json import canonical_json
from audit.format.hashes import ZERO_HASH
from audit.format.row_digest import keyed_row_digest, row_digest
from audit.format.segment_record import SegmentHead, unsigned_segment
from audit.format.signed_records import Record, format_time, load_signer, public_key, sign_record
from audit.format.signed_records import key_id as id_of_key
from config_schema.codes.reference import to_reference
from exports.bundle.schema import TABLES
from exports.bundle.shipped.check_rows import (
    CALL_COLUMNS,
    EVENT_FACTS,
    EVENT_SUBJECT,
    NO_BODY,
    OBSERVED,
    OBSERVED_FAILED,
    OPEN,
    STATES,
)
from tests.support.audit.entries import after_start
from tests.support.audit.log_state import LogState, Segment

Row = dict[str, Any]
# The private key is no secret: it follows from this seed.
SECRET = Random("hub audit vectors 2, key").randbytes(32)
STEP = 0.25  # seconds between two entries
IDENTITY, TARGET = ("aurora-id", 1), ("shop", 2)


def _no_rows() -> dict[str, list[Row]]:
    return {table.name: [] for table in TABLES}


@dataclass
class History:
    """Rows and entries that fit each other. `seconds` is the time now, after the start of the log."""

    random: Random
    tables: dict[str, list[Row]] = field(default_factory=_no_rows)
    entries: list[Record] = field(default_factory=list)
    # For each segment: how many entries there were when it was sealed, and at what time.
    seals: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0

    def append(self, stream: str, action: str, details: Row, actor: str = "system") -> str:
        """Append an entry. Returns its time."""
        self.seconds += STEP
        at = format_time(after_start(self.seconds))
        entry = {"v": 1, "at": at, "actor": actor, "stream_seq": 0, "prev_leaf": ""}
        self.entries.append({**entry, "stream": stream, "action": action, "details": details})
        return at

    def seal(self) -> None:
        """Close all entries that are not in a segment yet into one."""
        self.seconds += 1
        self.seals.append((len(self.entries), self.seconds))

    def receive(self, entity: str, name: str, entity_type: str = "USER", routes: Sequence[int] = (1,)) -> Row:
        """Receive a webhook with an event id. Returns the row of its event. Without routes it is answered at once."""
        body = hashlib.sha256(f"{entity} {name}".encode()).hexdigest()
        event = self._new_event(entity, entity_type, routes, event_id=name, body_sha256=body)
        event |= {
            "occurred": format_time(after_start(int(self.seconds) - 2)),
            "occurred_text": "a moment ago",
        }
        facts = _event_facts(event, routes) | {"payload": _sample_digest("webhook", event["reference"])}
        receipt = self._add_receipt(event, event["received"])
        if not routes:
            answer = {"status": 200, "code": "ignored", "final": True, "answered": event["received"]}
            receipt |= answer
            facts |= answer | {"answer": _sample_digest("answer", receipt["receipt"])}
        self.tables["events"].append(event)
        self._add_deliveries(event, routes)
        self._append_receipt("webhook.received", event, receipt, facts)
        return event

    def make(self, entity: str, requested_by: int | None, event_type: str = "UPDATE") -> Row:
        """Make an event because of a comparison, for a person's request or for none. Returns its row."""
        event = self._new_event(entity, "USER", (1,), event_id=None, body_sha256=NO_BODY)
        event |= {
            "signed": False,
            "origin": "comparison",
            "requested_by": requested_by,
            "event_type": event_type,
        }
        details = {
            "origin": "comparison",
            **({} if requested_by is None else {"requested_by": requested_by}),
            "state": event["state"],
            **_event_facts(event, (1,)),
        }
        self.tables["events"].append(event)
        self._add_deliveries(event, (1,))
        actor = "system" if requested_by is None else "person:1"
        self.append(f"event:{event['reference']}", "event.made", details, actor)
        return event

    def _new_event(self, entity: str, entity_type: str, routes: Sequence[int], **columns: Any) -> Row:
        uuid = self._new_uuid()
        event: Row = {
            "reference": to_reference(uuid),
            "uuid": str(uuid),
            "source": "aurora",
            "source_id": 1,
            "entity_type": entity_type,
            "entity_id": entity,
            "event_type": "UPDATE",
            "occurred": None,
            "occurred_text": "",
            "received": format_time(after_start(self.seconds + STEP)),
            "signed": True,
            "origin": "webhook",
            "requested_by": None,
            "state": "pending" if routes else "ignored",
            "code": "" if routes else "ignored",
            "subject_key": self.random.randbytes(16).hex(),
        }
        return event | columns

    def repeat(self, event: Row) -> Row:
        """Receive the same webhook again. Returns the row of the new receipt."""
        receipt = self._add_receipt(event, format_time(after_start(self.seconds + STEP)), repeat=True)
        self._append_receipt("webhook.repeated", event, receipt, {})
        return receipt

    def answer(self, event: Row, status: int, code: str, *, final: bool) -> None:
        """Answer the last request about an event."""
        receipt = [row for row in self.tables["receipts"] if row["event"] == event["reference"]][-1]
        answer = {"status": status, "code": code, "final": final}
        digest = _sample_digest("answer", receipt["receipt"])
        details = {"receipt": receipt["receipt"], **answer, "answer": digest}
        receipt |= {
            **answer,
            "answered": self.append(f"event:{event['reference']}", "webhook.answered", details),
        }

    def start_attempt(self, event: Row, route: int, cause: str = "webhook") -> Row:
        """Start the next attempt of a delivery. Returns its row."""
        delivery = self._delivery(event, route)
        before = [row for row in self.tables["attempts"] if row["delivery"] == delivery["delivery"]]
        common = {"attempt": str(self._new_uuid()), "number": len(before) + 1, "cause": cause}
        at = self.append(self._stream(delivery), "attempt.started", {**common, "mapping": 1})
        row: Row = {
            "delivery": delivery["delivery"],
            **common,
            "started": at,
            "ended": None,
            "outcome": "started",
        }
        row |= {"code": "", "retryable": False, "action": "", "record_id": ""}
        self.tables["attempts"].append(row)
        delivery["state"] = "running"
        return row

    def end_attempt(
        self, event: Row, attempt: Row, outcome: str, code: str, calls: Sequence[Row], **columns: Any
    ) -> None:
        """End an attempt with these calls. `columns`: those of the attempt that it sets, and the delivery's `state`.
        `failure`: what the attempt of a route that observes found.
        """
        [delivery] = [row for row in self.tables["deliveries"] if row["delivery"] == attempt["delivery"]]
        state, became = columns.pop("state", outcome), columns.pop("became", "")
        failure = columns.pop("failure", "")
        rows = self._add_calls(attempt, calls)
        attempt |= {"outcome": outcome, "code": failure or code, **columns}
        secret = bytes.fromhex(event["subject_key"])
        record = attempt["record_id"]
        details = {
            "attempt": attempt["attempt"],
            "event": event["reference"],
            "state": state,
            "code": code,
            "action": attempt["action"],
            "fields": ["email"] if attempt["action"] == "updated" else [],
            "covered": 0,
            **_call_details(rows),
            "retryable": attempt["retryable"],
            "findings": _sample_digest("findings", attempt["attempt"]),
            **({"record": keyed_row_digest(secret, "record", record)} if record else {}),
            **({"became": became} if became else {}),
            **({"failure": failure} if failure else {}),
        }
        code, state = ("succeeded" if became == "succeeded" else code), became or state
        at = self.append(self._stream(delivery), f"attempt.{outcome}", details)
        attempt["ended"] = at
        delivery |= {"state": state, "code": code, "settled": None if state in OPEN else at}
        self._refresh_event(event)

    def end_without_result(
        self,
        event: Row,
        attempt: Row,
        code: str,
        calls: Sequence[Row],
        *,
        dead: bool = False,
        observes: bool = False,
    ) -> None:
        """End an attempt whose process died, as `interrupted` without calls: the delivery is tried again, or is dead, or
        ignored if its route observes.
        """
        outcome = "unknown" if calls or dead else "interrupted"
        [delivery] = [row for row in self.tables["deliveries"] if row["delivery"] == attempt["delivery"]]
        rows = self._add_calls(attempt, calls)
        details = {
            "attempt": attempt["attempt"],
            "event": event["reference"],
            "code": code,
            **_call_details(rows),
            **({"state": "ignored" if observes else "dead"} if dead else {}),
        }
        at = self.append(self._stream(delivery), f"attempt.{outcome}", details)
        attempt |= {"outcome": outcome, "code": code, "ended": at, "retryable": code != "crashes-hub"}
        if dead and observes:
            delivery |= {"state": "ignored", "code": OBSERVED_FAILED, "settled": at}
        elif dead:
            delivery |= {"state": "dead", "code": code, "settled": at}
        else:
            delivery |= {"state": "retrying", "code": "interrupted", "settled": None}
        self._refresh_event(event)

    def act(self, event: Row, route: int, word: str, details: Row, **columns: Any) -> None:
        """Append the entry `delivery.<word>`. `columns`: those of the delivery after it; `settled=True`: at its time."""
        delivery = self._delivery(event, route)
        at = self.append(self._stream(delivery), f"delivery.{word}", details)
        if columns.get("settled") is True:
            columns["settled"] = at
        delivery |= columns
        self._refresh_event(event)

    def open_routes(self, event: Row, routes: Sequence[int]) -> None:
        """Replay an event on routes that it has no delivery on."""
        self._add_deliveries(event, routes)
        opened = [[route, IDENTITY[1], TARGET[1], False] for route in routes]
        self.append(f"event:{event['reference']}", "event.replayed", {"deliveries": opened}, "person:1")
        self._refresh_event(event)

    def keep_events(self, references: Collection[str]) -> None:
        """Remove the rows of all other events. Their entries stay."""
        tables = self.tables
        tables["events"] = [row for row in tables["events"] if row["reference"] in references]
        for name in ("receipts", "deliveries"):
            tables[name] = [row for row in tables[name] if row["event"] in references]
        deliveries = {row["delivery"] for row in tables["deliveries"]}
        tables["attempts"] = [row for row in tables["attempts"] if row["delivery"] in deliveries]
        self.keep_calls({row["attempt"] for row in tables["attempts"]})

    def keep_calls(self, attempts: Collection[str]) -> None:
        """Remove the rows of the calls of all other attempts."""
        self.tables["calls"] = [row for row in self.tables["calls"] if row["attempt"] in attempts]

    def ordered_rows(self) -> dict[str, list[Row]]:
        """Return the rows in the order and with the columns of an export, as of now."""
        counts: dict[str, int] = {}
        for entry in self.entries:
            counts[entry["stream"]] = counts.get(entry["stream"], 0) + 1
        tables = dict(self.tables)
        tables["events"] = [
            {**row, "entries": counts[f"event:{row['reference']}"]} for row in tables["events"]
        ]
        tables["deliveries"] = [
            {**row, "entries": counts.get(self._stream(row), 0)} for row in tables["deliveries"]
        ]
        tables["attempts"] = sorted(tables["attempts"], key=lambda row: (row["delivery"], row["number"]))
        places = {row["attempt"]: place for place, row in enumerate(tables["attempts"])}
        tables["calls"] = sorted(tables["calls"], key=lambda row: (places[row["attempt"]], row["call"]))
        return tables

    def to_log(self, segments: int = 0) -> LogState:
        """Return the sealed log, or its first segments."""
        state = LogState({}, {}, [], [first_key()], [SECRET])
        last = SegmentHead()
        for count, seconds in self.seals[: segments or None]:
            ids = list(range(last.highest_id + 1, count + 1))
            state.bodies |= {entry: canonical_json(self.entries[entry - 1]) for entry in ids}
            at = after_start(seconds)
            hashes = [(entry, ZERO_HASH) for entry in ids]
            record = unsigned_segment(last, hashes, at, state.keys[0]["key"], is_late=False)
            state.segments.append(Segment({**record, "signature": ""}, ids, []))
            last = SegmentHead(len(state.segments), ZERO_HASH, at, count)
        state.rechain()
        return state

    def _new_uuid(self) -> UUID:
        """Return a UUID of version 7 of this time."""
        milliseconds = int(after_start(self.seconds).timestamp() * 1000)
        number = milliseconds << 80 | self.random.getrandbits(80)
        return UUID(int=number & ~(0xF << 76) & ~(3 << 62) | 7 << 76 | 2 << 62)

    def _add_receipt(self, event: Row, at: str, *, repeat: bool = False) -> Row:
        receipt = {
            "event": event["reference"],
            "receipt": to_reference(self._new_uuid()),
            "verified_by": "standard-webhooks:1",
            "size": 97,
            "received": at,
            "answered": None,
            "status": None,
            "code": "",
            "final": False,
            "repeat": repeat,
        }
        self.tables["receipts"].append(receipt)
        return receipt

    def _append_receipt(self, action: str, event: Row, receipt: Row, more: Row) -> None:
        details = {name: receipt[name] for name in ("receipt", "verified_by", "size")}
        details |= {"state": event["state"], **more}
        self.append(f"event:{event['reference']}", action, details, "source:aurora")

    def _add_deliveries(self, event: Row, routes: Sequence[int]) -> None:
        for route in routes:
            row = {
                "event": event["reference"],
                "delivery": len(self.tables["deliveries"]) + 1,
                "route": route,
                "identity": IDENTITY[0],
                "identity_id": IDENTITY[1],
                "target": TARGET[0],
                "target_id": TARGET[1],
                "relayed": False,
                "state": "pending",
                "code": "",
                "settled": None,
            }
            self.tables["deliveries"].append(row)

    def _add_calls(self, attempt: Row, calls: Sequence[Row]) -> list[Row]:
        """Add calls whose responses are stored as one list."""
        return [self._add_call(attempt, call | {"response_part": part}) for part, call in enumerate(calls)]

    def _add_call(self, attempt: Row, columns: Row) -> Row:
        self.seconds += STEP
        slug, key = TARGET if columns["purpose"] != "fetch" else IDENTITY
        row: Row = {
            "attempt": attempt["attempt"],
            "call": len(self.tables["calls"]) + 1,
            "connection": slug,
            "connection_id": key,
            "purpose": "",
            "write": False,
            "method": "GET",
            "path": "/api/users/{id}",
            "started": format_time(after_start(self.seconds)),
            "milliseconds": 3,
            "status": 200,
            "error": "",
            "sent_bytes": 235,
            "received_bytes": 464,
            "response_part": None,
        }
        self.tables["calls"].append(row | columns)
        return self.tables["calls"][-1]

    def _delivery(self, event: Row, route: int) -> Row:
        rows = self.tables["deliveries"]
        return next(row for row in rows if (row["event"], row["route"]) == (event["reference"], route))

    def _stream(self, delivery: Row) -> str:
        return f"delivery:{delivery['event']}:{delivery['route']}"

    def _refresh_event(self, event: Row) -> None:
        deliveries = [row for row in self.tables["deliveries"] if row["event"] == event["reference"]]
        deliveries = [row for row in deliveries if row["code"] not in OBSERVED] or deliveries
        worst = min(deliveries, key=lambda row: STATES.index(row["state"]))
        event |= {"state": worst["state"], "code": worst["code"]}


def _sample_digest(kind: str, name: str) -> str:
    """Return a digest of a payload. No export has payloads, so nothing is compared with it."""
    return hashlib.sha256(f"hub-payload-1\0{kind}\0{len(name)}\0{name}".encode()).hexdigest()[:24]


def _event_facts(event: Row, routes: Sequence[int]) -> Row:
    secret = bytes.fromhex(event["subject_key"])
    return {
        "facts": row_digest("event", *(event[name] for name in EVENT_FACTS)),
        "subject": keyed_row_digest(secret, "event", *(event[name] for name in EVENT_SUBJECT)),
        "deliveries": [[route, IDENTITY[1], TARGET[1], False] for route in routes],
    }


def _call_details(calls: Sequence[Row]) -> Row:
    """Return the details of an attempt's end about its calls. Its responses are stored as one payload."""
    writes = [
        [place, _sample_digest("request", f"{call['attempt']} {call['call']}")]
        for place, call in enumerate(calls)
        if call["write"]
    ]
    return {
        "calls": [row_digest("call", *(row[name] for name in CALL_COLUMNS)) for row in calls],
        **({"requests": writes} if writes else {}),
        **({"response": _sample_digest("response", calls[0]["attempt"])} if calls else {}),
    }


def first_key() -> Record:
    """Return the record of the only signing key."""
    public = public_key(SECRET)
    begins = format_time(after_start(0))
    unsigned = {
        "v": 1,
        "number": 1,
        "key": id_of_key(public),
        "public": public.hex(),
        "prev": "",
        "from": begins,
    }
    return sign_record("key", unsigned, load_signer(SECRET))
