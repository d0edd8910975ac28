#!/usr/bin/env python3
"""Checks that the rows of an export fit its audit entries: python3 check_rows.py [FOLDER]

Needs Python 3.9 or newer and nothing else. It believes the entries: run verify.py first. Prints each fault with its
code and place and ends with 1, or says what fits and ends with 0; 2: an argument is wrong.
"""

import argparse
import csv
import hashlib
import hmac
import json
import os
import re
import sqlite3
import stat
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple, Optional
from xml.etree.ElementTree import ParseError, iterparse

MAX_FAULTS = 100
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
# The largest difference that is assumed between the clocks of the hub's machines.
CLOCKS_APART = timedelta(minutes=10)
PARENTS = {
    "receipts": ("event", "events"),
    "deliveries": ("event", "events"),
    "attempts": ("delivery", "deliveries"),
    "calls": ("attempt", "attempts"),
}
# The first action is recorded with the first deletion, the second at the end: a night may be cut off in between.
DELETED = ("retention.begun", "retention.pruned")
KEYS = {
    "events": "reference",
    "receipts": "receipt",
    "deliveries": "delivery",
    "attempts": "attempt",
    "calls": "call",
}
# The columns of each table by type: texts (times are texts), whole numbers, and truth values.
COLUMNS: Mapping[str, Sequence[tuple[type, str]]] = {
    "events": (
        (
            str,
            "reference uuid source event_id entity_type entity_id event_type occurred occurred_text received origin "
            "state code body_sha256 subject_key",
        ),
        (int, "source_id requested_by entries"),
        (bool, "signed"),
    ),
    "receipts": (
        (str, "event receipt verified_by received answered code"),
        (int, "size status"),
        (bool, "final repeat"),
    ),
    "deliveries": (
        (str, "event identity target state code settled"),
        (int, "delivery route identity_id target_id entries"),
        (bool, "relayed"),
    ),
    "attempts": (
        (str, "attempt cause started ended outcome code action record_id"),
        (int, "delivery number"),
        (bool, "retryable"),
    ),
    "calls": (
        (str, "attempt connection purpose method path started error"),
        (int, "call connection_id milliseconds status sent_bytes received_bytes response_part"),
        (bool, "write"),
    ),
}
# The columns that may be null.
NULLABLE = {
    "events": ("event_id", "occurred", "requested_by", "subject_key"),
    "receipts": ("answered", "status"),
    "deliveries": ("settled",),
    "attempts": ("ended",),
    "calls": ("milliseconds", "status", "response_part"),
}
# The columns that exports of 0.1.0 do not have. Then all events are webhooks.
ADDED: Mapping[str, Mapping[str, Any]] = {"events": {"origin": "webhook", "requested_by": None}}
METADATA_FIELDS = (
    *("calls_deleted_before", "entries_since", "events_deleted_before", "filter", "first_segment", "gone"),
    *("rows", "table", "whole"),
)
# Everything that a damaged file can raise while it is read. It is reported as a fault of that file.
READ_ERRORS = (
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    AttributeError,
    RecursionError,
    OverflowError,
    OSError,
    csv.Error,
    sqlite3.Error,
    zipfile.BadZipFile,
    ParseError,
)
# The worst state of its deliveries is the state of an event.
STATES = (
    *("dead", "held", "retrying", "running", "pending", "closed"),
    *("succeeded", "unchanged", "ignored", "superseded"),
)
ACTIVE = ("pending", "retrying", "running")
OPEN = (*ACTIVE, "held")
# The columns of an event that the digest `facts` of its first entry covers, and those of a call, in this order.
EVENT_FACTS = ("source_id", "entity_type", "event_type", "occurred", "occurred_text", "signed")
EVENT_SUBJECT = ("event_id", "entity_id", "body_sha256")
CALL_COLUMNS = (
    *("connection_id", "purpose", "write", "method", "path", "started"),
    *("milliseconds", "status", "error", "sent_bytes", "received_bytes", "response_part"),
)
# The columns with slugs by table: each with its kind of setting, and the column with the key of that setting.
SLUG_COLUMNS: Mapping[str, Sequence[tuple[str, str, str]]] = {
    "events": (("source", "source", "source_id"),),
    "deliveries": (("identity", "connection", "identity_id"), ("target", "connection", "target_id")),
    "calls": (("connection", "connection", "connection_id"),),
}
# The first entry of an event that is no webhook, and the digest of the body that it does not have.
MADE = "event.made"
NO_BODY = hashlib.sha256(b"").hexdigest()
# The causes of the first attempt of such an event: its origin.
MADE_CAUSES = ("comparison", "catch-up")
ENDED = ("succeeded", "unchanged", "superseded", "ignored", "failed", "held")
# The codes of an ignored delivery whose route observed: it planned a change, or could not, and wrote nothing.
OBSERVED_FAILED = "observed-failed"
OBSERVED = ("observed", OBSERVED_FAILED)
# The process died: the attempt has no result.
DIED = ("unknown", "interrupted")
# An attempt with this code did not find the entity, and nothing proved that it was deleted.
ABSENCE_CODE = "identity-missing-unproven"
# Of the condition that proves that a record was to be deleted.
CONDITION_DIGEST = re.compile(r"[0-9a-f]{24}\Z")
# The outcomes with which an attempt links the entity to its record.
LINKING = ("succeeded", "unchanged")
# The decisions of a person that let a held delivery run.
APPROVALS = ("delivery.approved", "delivery.record-linked", "delivery.record-approved")
# What may end that a delivery is held, next to a replay: a decision, an erasure, or a later success of its entity.
RELEASES = (*APPROVALS, "delivery.closed", "delivery.done-by-hand", "delivery.superseded")
BASE_32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# The id of an entity that was erased begins with it.
PSEUDONYM_MARK = "~"

Row = Mapping[str, Any]
Entry = Mapping[str, Any]


class RowFault(NamedTuple):
    """A row that does not fit the audit entries. `column` is empty if it concerns the whole row.

    `code` is one of the codes that docs/audit-format.md lists.
    """

    code: str
    table: str
    key: Any
    column: str
    what: str

    def __str__(self) -> str:
        return f"{self.table} {self.key}{', ' if self.column else ''}{self.column}: {self.what}"


Faults = Iterator[RowFault]


def require_columns(table: str, row: "Row") -> None:
    """Raise ValueError if a column of a row is missing, or has a value of another type."""
    for type_, names in COLUMNS[table]:
        for name in names.split():
            # In Python `true` is a whole number too.
            is_right = name in row and (
                type(row[name]) is type_ or (row[name] is None and name in NULLABLE[table])
            )
            if not is_right:
                raise ValueError(f"{name} of a row in {table} is missing or of another type")


class EventRows(NamedTuple):
    """An event with everything under it."""

    event: Row
    receipts: Sequence[Row]
    deliveries: Sequence[Row]
    attempts: Sequence[Row]
    calls: Sequence[Row]


class Deletions:
    """Holds the deletions (retention, erasure) that the audit log records: such rows may be missing."""

    def __init__(self) -> None:
        # Events received, calls begun and entries sealed before these times.
        self.events_before = ""
        self.calls_before = ""
        self.entries_before = ""
        # The erasures of each pseudonym; None if they are not known.
        self.erased: Optional[dict[str, set[Any]]] = {}  # noqa: UP045 - Python 3.9

    def add_entry(self, entry: Entry) -> None:
        details = entry["details"]
        if entry["action"] in DELETED and details["kind"] == "events":
            self.events_before = max(self.events_before, details["up_to"])
        elif entry["action"] in DELETED and details["kind"] == "calls":
            self.calls_before = max(self.calls_before, details["up_to"])
        elif entry["action"] == "subject.erased" and self.erased is not None:
            for name in details["pseudonyms"]:
                self.erased.setdefault(name, set()).add(details.get("erasure"))

    def has_no_entries(self, at: str) -> bool:
        """Return True if the entries of that time may have been deleted."""
        return at <= self.entries_before


def parse_time(at: str) -> datetime:
    # `datetime.UTC` needs Python 3.11, and this script runs on 3.9.
    return datetime.strptime(at, TIME_FORMAT).replace(tzinfo=timezone.utc)  # noqa: UP017


def uuid_of_reference(reference: str) -> str:
    """Return the UUID that a reference spells in Crockford's base 32. Raises ValueError if it is not a reference."""
    number = 0
    for character in reference:
        number = number << 5 | BASE_32.index(character)
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def digest_content(values: Sequence[Any]) -> bytes:
    return b"hub-row-1\0" + json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def row_digest(*values: Any) -> str:
    return hashlib.sha256(digest_content(values)).hexdigest()[:24]


def keyed_row_digest(key: bytes, *values: Any) -> str:
    return hmac.new(key, digest_content(values), "sha256").hexdigest()[:24]


def recorded_slug(action: str, stream: str, details: Row) -> Optional[str]:  # noqa: UP045 - Python 3.9
    """Return the slug that an entry gives to the source or connection of its stream; None if it gives none."""
    kind, _, word = action.partition(".")
    if (
        kind not in ("source", "connection")
        or word not in ("created", "changed")
        or not stream.startswith(f"setting:{kind}:")
    ):
        return None
    after = details.get("after")
    slug = after.get("slug") if isinstance(after, dict) else None
    return slug if isinstance(slug, str) else None


class DeliveryLog:
    """Reads the expected columns of a delivery and of its attempts from the entries of its stream."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.is_complete = not entries or entries[0]["stream_seq"] == 1
        self.length = entries[-1]["stream_seq"] if entries else 0
        self.attempts: dict[str, dict[str, Any]] = {}
        # By attempt: the digests of its calls.
        self.calls: dict[str, list[str]] = {}
        # None: not known, because the first entries were deleted.
        self.state: Any = "pending" if self.is_complete else None
        self.code: Any = "" if self.is_complete else None
        self.settled: Any = None
        # Its state when a re-check made it due. It still counts for its event.
        self.before = ""
        # The entries that took it on while it was held, without a decision: each with its number.
        self.undecided: list[str] = []
        self.approvals = 0
        # The attempts that deleted a record: each with the detail that says why.
        self.removals: dict[str, Mapping[str, Any]] = {}
        for entry in entries:
            self.add_entry(entry)

    def add_entry(self, entry: Entry) -> None:
        was_held = self.state == "held"
        kind, _, word = entry["action"].partition(".")
        if kind == "attempt":
            self.add_attempt_entry(word, entry["details"], entry["at"])
        elif kind == "delivery":
            self.add_delivery_entry(word, entry["details"], entry["at"])
        self.approvals += entry["action"] in APPROVALS
        if was_held and self.state != "held" and not is_release(entry):
            self.undecided.append(f"{entry['action']} (entry {entry['stream_seq']})")

    @property
    def replays(self) -> int:
        """The number of attempts that began by a request of a person. An interrupted one may begin again."""
        return sum(
            row.get("cause") == "replay" and row["outcome"] not in DIED for row in self.attempts.values()
        )

    def add_attempt_entry(self, word: str, details: Row, at: str) -> None:
        key = details["attempt"]
        if word == "started":
            self.attempts[key] = {
                "number": details["number"],
                "cause": details["cause"],
                "started": at,
                "ended": None,
                "outcome": "started",
                "code": "",
                "retryable": False,
                "action": "",
                "record_id": "",
            }
            if "mapping" in details:
                self.attempts[key].update(
                    mapping=details["mapping"],
                    person_request=details.get("person_request"),
                    payload_choice=details.get("payload_choice", ""),
                    in_own_process=details.get("in_own_process", False),
                )
            self.state = "running"
        elif word in ENDED + DIED:
            self.end_attempt(key, word, details, at)
            if word in DIED:
                self.end_without_result(details, at)
            else:
                self.end(details["state"], details["code"], at, details.get("became", ""))

    def end_attempt(self, key: str, word: str, details: Row, at: str) -> None:
        # The entry of its start may have been deleted.
        row = self.attempts.setdefault(key, {})
        # What the attempt of a route that observes found is not the code of its delivery.
        row.update(ended=at, outcome=word, code=details.get("failure", details["code"]))
        if "action" in details:
            row["action"] = details["action"]
        if "retryable" in details:
            row["retryable"] = details["retryable"]
            row["record"], row["counted_as"] = details.get("record", ""), details.get("counted_as", "")
        if word in DIED:
            row["retryable"] = details["code"] != "crashes-hub"
        else:
            row.pop("record_id", None)
        if "calls" in details:
            self.calls[key] = list(details["calls"])
        if word == "succeeded" and details.get("action") == "deleted":
            self.removals[key] = details.get("proof") or {}

    def end_without_result(self, details: Row, at: str) -> None:
        """The process died: the delivery waits again, or it is to blame and dead, or ignored if its route observes."""
        if details.get("state") in ("dead", "ignored"):
            self.before = ""
            code = details["code"] if details["state"] == "dead" else OBSERVED_FAILED
            self.set(details["state"], code, at)
        else:
            self.set("retrying", "interrupted", None)

    def end(self, state: str, code: str, at: str, became: str = "") -> None:
        self.before = ""
        # A re-check that found nothing to do leaves a success as it was.
        code = "succeeded" if became == "succeeded" else code
        state = became or state
        self.set(state, code, None if state in OPEN else at)

    def set(self, state: str, code: Any, settled: Any) -> None:
        self.state, self.code, self.settled = state, code, settled

    def add_delivery_entry(self, word: str, details: Row, at: str) -> None:
        if word == "covered":
            self.set(details["state"], details["code"], None if details["state"] in OPEN else at)
        elif word == "reopened":
            self.before = str(self.state or "") if details["cause"] == "recheck" else ""
            self.set("pending", self.code, None)
        elif word in ("approved", "record-linked", "record-approved"):
            self.set("pending", self.code, None)
        elif word == "postponed":
            self.set("retrying", details["code"], self.settled)
        elif word == "given_up":
            self.set("dead", self.code, at)
        elif word == "superseded":
            self.set("superseded", "superseded", self.settled or at)
        elif word in ("closed", "done-by-hand"):
            self.set("closed", "closed", at)


def is_release(entry: Entry) -> bool:
    """Return True if a delivery that is held may go on by this entry."""
    is_replay = entry["action"] == "delivery.reopened" and entry["details"]["cause"] == "replay"
    return is_replay or entry["action"] in RELEASES


class EventLog:
    """Reads the expected columns of an event, its receipts and its deliveries from the entries of its stream."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.is_complete = bool(entries) and entries[0]["stream_seq"] == 1
        self.length = entries[-1]["stream_seq"] if entries else 0
        self.first: Entry = entries[0] if self.is_complete else {}
        self.receipts: dict[str, dict[str, Any]] = {}
        # By route: its connections, and whether it is relayed. None: not known.
        self.deliveries: Any = None
        # The erasures that removed the entity of the event.
        self.erasures: set[Any] = set()
        self.replays = sum(entry["action"] == "event.replayed" for entry in entries)
        for entry in entries:
            if entry["action"] == "event.erased":
                self.erasures.add(entry["details"]["erasure"])
            # The receipt of a request with several events, its `batch`, is a row of none of them.
            if (
                entry["action"] in ("webhook.received", "webhook.repeated")
                and "batch" not in entry["details"]
            ):
                self.add_receipt(entry)
            elif entry["action"] == "webhook.answered":
                self.add_answer(entry["details"], entry["at"])
            if "deliveries" in entry["details"]:
                self.deliveries = self.deliveries or {}
                for route, *columns in entry["details"]["deliveries"]:
                    self.deliveries[route] = columns

    @property
    def origin_columns(self) -> Row:
        """The columns of the event that say what made it, from its first entry."""
        if self.first["action"] != MADE:
            return ADDED["events"]
        details = self.first["details"]
        return {"origin": details["origin"], "requested_by": details.get("requested_by")}

    def add_receipt(self, entry: Entry) -> None:
        details = entry["details"]
        self.receipts[details["receipt"]] = {
            **{name: details[name] for name in ("verified_by", "size") if name in details},
            "received": entry["at"],
            "repeat": entry["action"] == "webhook.repeated",
            "answered": None,
            "status": None,
            "code": "",
            "final": False,
        }
        if "status" in details:
            self.add_answer(details, details.get("answered"))

    def add_answer(self, details: Row, at: Any) -> None:
        row = self.receipts.setdefault(details["receipt"], {})
        row.update(status=details["status"], code=details["code"])
        for name, value in (("final", details.get("final")), ("answered", at)):
            # An entry that does not say it leaves it open.
            row.pop(name, None)
            if value is not None:
                row[name] = value


def check_event(rows: EventRows, streams: Mapping[str, Sequence[Entry]], deletions: Deletions) -> Faults:
    """Yield where an event and the rows under it differ from their entries.

    `streams` has the stored entries of the event and of its deliveries, in their order, as far as they are sealed. A
    row whose stream had more entries when it was read is compared only in what cannot have changed since.
    """
    event, reference = rows.event, rows.event["reference"]
    entries = streams.get(f"event:{reference}", ())
    if not entries:
        if not deletions.has_no_entries(event["received"]):
            yield RowFault("row-unexpected", "events", reference, "", "is not in the audit log")
        return
    log = EventLog(entries)
    is_ahead = event["entries"] > log.length
    if event["entries"] < log.length:
        yield RowFault(
            "row-outdated", "events", reference, "entries", f"had {event['entries']} entries of {log.length}"
        )
    yield from check_event_columns(event, log, deletions)
    yield from check_erasure(event, log, deletions, is_ahead=is_ahead)
    yield from check_receipts(rows, log, is_ahead=is_ahead)
    yield from check_delivery_list(rows, log, is_ahead=is_ahead)
    known, is_known = [], not is_ahead and log.is_complete
    for row in rows.deliveries:
        stream = streams.get(f"delivery:{reference}:{row['route']}", ())
        delivery = DeliveryLog(stream)
        if not stream and not row["entries"] and not log.is_complete:
            is_known = False
            continue
        is_behind = row["entries"] > delivery.length
        yield from check_delivery(row, delivery, is_behind=is_behind)
        yield from check_attempts(row, rows, delivery, deletions, is_behind=is_behind)
        yield from check_decisions(row, delivery)
        if log.is_complete and delivery.is_complete and not is_ahead:
            yield from check_requests(row, delivery, log)
            yield from check_causes(row, delivery, log)
        yield from check_removals(event, delivery)
        is_known = is_known and not is_behind and delivery.state is not None
        known.append(delivery)
    if is_known:
        yield from check_event_state(event, log, known)


def check_event_columns(event: Row, log: EventLog, deletions: Deletions) -> Faults:
    key, details = event["reference"], log.first.get("details", {})
    yield from compare_columns("events", key, event, {"uuid": uuid_of_reference(key)})
    if log.first and log.first["at"] != event["received"]:
        yield RowFault(
            "row-differs",
            "events",
            key,
            "received",
            f"was received at {log.first['at']}, but its row says {event['received']}",
        )
    if log.first:
        yield from compare_columns("events", key, event, log.origin_columns)
    if event["origin"] != "webhook" and event["body_sha256"] not in ("", NO_BODY):
        yield RowFault(
            "row-differs", "events", key, "body_sha256", "is not of no bytes, but no webhook made it"
        )
    if "facts" in details and details["facts"] != row_digest("event", *(event[name] for name in EVENT_FACTS)):
        yield RowFault("digest-differs", "events", key, " or ".join(EVENT_FACTS), "differs from its entry")
    if "subject" in details and not str(event["entity_id"]).startswith(PSEUDONYM_MARK):
        secret = bytes.fromhex(event["subject_key"] or "")
        if details["subject"] != keyed_row_digest(secret, "event", *(event[name] for name in EVENT_SUBJECT)):
            yield RowFault(
                "digest-differs", "events", key, " or ".join(EVENT_SUBJECT), "differs from its entry"
            )


def check_erasure(event: Row, log: EventLog, deletions: Deletions, *, is_ahead: bool) -> Faults:
    """Yield where the columns that an erasure empties do not fit the entries about erasures."""
    key = event["reference"]
    if not str(event["entity_id"]).startswith(PSEUDONYM_MARK):
        if log.erasures:
            yield RowFault(
                "erasure-incomplete", "events", key, "entity_id", "is no pseudonym, but the event was erased"
            )
        return
    erasures = None if deletions.erased is None else deletions.erased.get(event["entity_id"][1:], set())
    what = ""
    if erasures is not None and not erasures:
        what = "is a pseudonym that no erasure in the log names"
    # The entry may be newer than the entries here, or deleted with the first ones.
    elif log.is_complete and not is_ahead:
        if not log.erasures:
            what = "is a pseudonym, but no entry says that the event was erased"
        elif erasures is not None and log.erasures.isdisjoint(erasures):
            what = "is the pseudonym of another erasure than that of the event"
    if what:
        yield RowFault("erasure-unrecorded", "events", key, "entity_id", what)
    if event["event_id"] is not None or event["body_sha256"] or event["subject_key"]:
        yield RowFault(
            "erasure-incomplete",
            "events",
            key,
            "event_id or body_sha256 or subject_key",
            "is set, but the entity was erased",
        )


def compare_columns(table: str, key: Any, row: Row, expected: Row) -> Faults:
    for name, value in expected.items():
        if name in row and row[name] != value:
            yield RowFault(
                "row-differs", table, key, name, f"is {row[name]!r}, but its entries say {value!r}"
            )


def check_receipts(rows: EventRows, log: EventLog, *, is_ahead: bool) -> Faults:
    found = set()
    for row in rows.receipts:
        key = row["receipt"]
        found.add(key)
        expected = log.receipts.get(key)
        if expected is None:
            if log.is_complete and not is_ahead:
                yield RowFault("row-unexpected", "receipts", key, "", "is not in the audit log")
            elif rows.event["origin"] != "webhook":
                yield RowFault("row-unexpected", "receipts", key, "", "is of an event that is no webhook")
            continue
        if is_ahead and expected.get("status") is None:
            expected = {
                name: value
                for name, value in expected.items()
                if name not in ("answered", "status", "code", "final")
            }
        yield from compare_columns("receipts", key, row, expected)
    for key in log.receipts:
        if key not in found:
            yield RowFault(
                "row-missing",
                "receipts",
                key,
                "",
                f"is in the entries of event {rows.event['reference']}, but has no row",
            )


def check_delivery_list(rows: EventRows, log: EventLog, *, is_ahead: bool) -> Faults:
    if log.deliveries is None:
        return
    found = set()
    for row in rows.deliveries:
        found.add(row["route"])
        columns = log.deliveries.get(row["route"])
        if columns is not None:
            yield from compare_columns(
                "deliveries",
                row["delivery"],
                row,
                dict(zip(("identity_id", "target_id", "relayed"), columns)),  # noqa: B905 - Python 3.9
            )
        elif log.is_complete and not is_ahead:
            yield RowFault("row-unexpected", "deliveries", row["delivery"], "", "is not in the audit log")
    for route in log.deliveries:
        if route not in found:
            yield RowFault(
                "row-missing",
                "deliveries",
                f"of event {rows.event['reference']} on route {route}",
                "",
                "has no row",
            )


def check_delivery(row: Row, log: DeliveryLog, *, is_behind: bool) -> Faults:
    if row["entries"] < log.length:
        yield RowFault(
            "row-outdated",
            "deliveries",
            row["delivery"],
            "entries",
            f"had {row['entries']} entries of {log.length}",
        )
    if not is_behind and log.state is not None:
        expected = {"state": log.state, "settled": log.settled}
        if log.code is not None:
            expected["code"] = log.code
        yield from compare_columns("deliveries", row["delivery"], row, expected)


def check_decisions(row: Row, log: DeliveryLog) -> Faults:
    """Yield a fault for each entry with which a held delivery continued without a decision or a request."""
    for entry in log.undecided:
        yield RowFault(
            "sequence-broken", "deliveries", row["delivery"], "", f"was held, but {entry} follows no decision"
        )


def check_requests(row: Row, log: DeliveryLog, event: EventLog) -> Faults:
    """Yield a delivery that has more attempts on a person's request than the log has requests."""
    requests = event.replays + log.approvals
    if log.replays > requests:
        yield RowFault(
            "sequence-broken",
            "deliveries",
            row["delivery"],
            "",
            f"has {log.replays} attempts on request, but its entries have {requests} requests",
        )


def check_causes(row: Row, log: DeliveryLog, event: EventLog) -> Faults:
    """Yield an attempt that began because a comparison or a catch-up made its event, although that did not."""
    for key, attempt in log.attempts.items():
        cause = attempt.get("cause")
        if cause in MADE_CAUSES and (attempt["number"] != 1 or cause != event.origin_columns["origin"]):
            yield RowFault(
                "sequence-broken",
                "attempts",
                key,
                "",
                f"began with the cause {cause}, which did not make its event",
            )


def check_removals(event: Row, log: DeliveryLog) -> Faults:
    """Yield an attempt that deleted a record, although its own event and its own delivery show no reason for it.

    An event or an attempt of another delivery of the entity is looked up later: see `other_proofs`.
    """
    for key, proof in log.removals.items():
        if not is_proven(event, log, proof):
            yield RowFault(
                "sequence-broken", "attempts", key, "", "deleted a record, but nothing proves that it should"
            )


def is_proven(event: Row, log: DeliveryLog, proof: Row) -> bool:
    """Return False if what an entry says to prove a deletion is known to be wrong."""
    if "condition" in proof:
        # The digest of the condition of the route, which the entity did not fulfil: no row has either.
        return CONDITION_DIGEST.match(str(proof["condition"])) is not None
    if "approved" in proof and log.is_complete and not log.approvals:
        return False
    attempt = proof.get("approved", proof.get("attempt"))
    if attempt is not None:
        # That of another delivery is not here; nor is one whose entries were deleted.
        return bool(log.attempts.get(attempt, {}).get("code", ABSENCE_CODE) == ABSENCE_CODE)
    is_own = proof.get("event", event["reference"]) == event["reference"]
    return not is_own or reported_type(event) == "DELETE"


def reported_type(event: Row) -> str:
    """Return the type of an event as evidence: what a comparison saw is no report that an entity was deleted."""
    type_, origin = str(event.get("event_type")), event.get("origin")
    return type_ if origin == "webhook" else f"{type_} of a {origin}"


class OtherProof(NamedTuple):
    """What proves a deletion according to its entry: an event or an attempt of another delivery of the entity."""

    attempt: str
    kind: str
    key: str


def other_proofs(rows: EventRows, streams: Mapping[str, Sequence[Entry]]) -> Iterator[OtherProof]:
    """Yield the proofs of deletions that are not among the rows of their event."""
    own = {rows.event["reference"], *(row["attempt"] for row in rows.attempts)}
    for details in ended_as(rows, streams, "deleted"):
        for kind, key in (details.get("proof") or {}).items():
            if key not in own and kind != "condition":
                yield OtherProof(details["attempt"], kind, key)


def new_creations(rows: EventRows, streams: Mapping[str, Sequence[Entry]]) -> set[str]:
    """Return the attempts that created a record for an entity which had none, as their entries say."""
    created = ended_as(rows, streams, "created")
    return {details["attempt"] for details in created if not details.get("replaces")}


def ended_as(rows: EventRows, streams: Mapping[str, Sequence[Entry]], action: str) -> Iterator[Row]:
    """Yield the details of the entries of attempts that succeeded with an action."""
    for row in rows.deliveries:
        for entry in streams.get(f"delivery:{rows.event['reference']}:{row['route']}", ()):
            if entry["action"] == "attempt.succeeded" and entry["details"].get("action") == action:
                yield entry["details"]


def missing_proof(proof: OtherProof, found: Optional[str], *, may_be_deleted: bool) -> Faults:  # noqa: UP045
    """Yield a deletion whose proof is not there, or is something else. `found`: the type of the event, or the code of
    the attempt; None if there is no row.
    """
    expected = "DELETE" if proof.kind == "event" else ABSENCE_CODE
    if found == expected or (found is None and may_be_deleted):
        return
    what = "has no row" if found is None else f"is {found!r}"
    yield RowFault(
        "sequence-broken",
        "attempts",
        proof.attempt,
        "",
        f"deleted a record because of {proof.key}, which {what}",
    )


class LinkingAttempt(NamedTuple):
    """An attempt after which its entity was linked to a record, or to none if `record_id` is empty."""

    attempt: str
    ended: str
    action: str
    record_id: str

    @property
    def ends_link(self) -> bool:
        return self.action == "deleted" or not self.record_id


def linked_before(creation: LinkingAttempt, history: Iterable[LinkingAttempt]) -> Optional[LinkingAttempt]:  # noqa: UP045
    """Return the earlier attempt of an entity that linked another record, if no attempt has ended that link before the
    creation of this one. Allows for clocks that differ.
    """
    attempts = sorted(history, key=lambda attempt: attempt.ended)
    linked = [
        attempt
        for attempt in attempts
        if attempt.ended < creation.ended
        and not attempt.ends_link
        and attempt.record_id != creation.record_id
        and attempt.attempt != creation.attempt
    ]
    if not linked:
        return None
    until = (parse_time(creation.ended) + CLOCKS_APART).strftime(TIME_FORMAT)
    since = (parse_time(linked[-1].ended) - CLOCKS_APART).strftime(TIME_FORMAT)
    ends = any(
        since <= attempt.ended <= until
        for attempt in attempts
        # Not only of that record: ids of a target can change, and links with them. Of the new one it says nothing.
        if attempt.ends_link and attempt.record_id != creation.record_id
    )
    return None if ends else linked[-1]


def second_record(creation: LinkingAttempt, linked: LinkingAttempt) -> RowFault:
    return RowFault(
        "sequence-broken",
        "attempts",
        creation.attempt,
        "",
        f"created a record, but attempt {linked.attempt} had linked one, and nothing has ended that link",
    )


def check_attempts(
    delivery: Row, rows: EventRows, log: DeliveryLog, deletions: Deletions, *, is_behind: bool
) -> Faults:
    found = set()
    for row in rows.attempts:
        if row["delivery"] != delivery["delivery"]:
            continue
        key = row["attempt"]
        found.add(key)
        expected = log.attempts.get(key)
        if expected is None:
            if log.is_complete and not is_behind:
                yield RowFault("row-unexpected", "attempts", key, "", "is not in the audit log")
            continue
        has_ended = expected.get("ended") is not None
        if not has_ended and is_behind:
            expected = {name: expected[name] for name in ("number", "cause", "started") if name in expected}
        yield from compare_columns("attempts", key, row, expected)
        if "record" in expected:
            yield from check_record(row, rows.event, expected["record"])
        if key in log.calls:
            calls = [call for call in rows.calls if call["attempt"] == key]
            yield from check_calls(row, calls, log.calls[key], deletions)
    for key in log.attempts:
        if key not in found:
            yield RowFault(
                "row-missing",
                "attempts",
                key,
                "",
                f"is in the entries of delivery {delivery['delivery']}, but has no row",
            )


def check_record(attempt: Row, event: Row, digest: str) -> Faults:
    key, value = attempt["attempt"], attempt["record_id"]
    if str(event["entity_id"]).startswith(PSEUDONYM_MARK):
        if value:
            yield RowFault(
                "erasure-incomplete", "attempts", key, "record_id", "is set, but the entity was erased"
            )
        return
    secret = bytes.fromhex(event["subject_key"] or "")
    expected = keyed_row_digest(secret, "record", value) if value else ""
    if digest != expected:
        yield RowFault("digest-differs", "attempts", key, "record_id", "differs from its entry")


def check_calls(attempt: Row, calls: Sequence[Row], digests: Iterable[str], deletions: Deletions) -> Faults:
    left, unexpected = Counter(digests), []
    for row in calls:
        digest = row_digest("call", *(row[name] for name in CALL_COLUMNS))
        if left[digest]:
            left[digest] -= 1
        else:
            unexpected.append(row["call"])
    # As many of the rows that fit no digest can be changed ones as there are digests that fit no row.
    missing = sum(left.values())
    for key in unexpected[:missing]:
        yield RowFault(
            "digest-differs", "calls", key, " or ".join(CALL_COLUMNS), "differs from every call in the log"
        )
    for key in unexpected[missing:]:
        yield RowFault("row-unexpected", "calls", key, "", "is not in the audit log")
    missing -= len(unexpected)
    # Calls begin after their attempt. Those of one attempt may be deleted in two batches.
    if missing > 0 and attempt["started"] >= deletions.calls_before:
        place = f"of attempt {attempt['attempt']}"
        yield RowFault("row-missing", "calls", place, "", f"{missing} in the log have no row")


def check_event_state(event: Row, log: EventLog, deliveries: Sequence[DeliveryLog]) -> Faults:
    """Compare the state and code of an event with those of its deliveries."""
    key = event["reference"]
    if not deliveries:
        state = log.first["details"].get("state", event["state"])
        ignored_as = log.first["details"].get("reason", "ignored")
        expected = {"state": state, "code": ignored_as if state == "ignored" else ""}
        yield from compare_columns("events", key, event, expected)
        return
    states = [(delivery.before or delivery.state, delivery.code) for delivery in deliveries]
    # What a route observed is left out if there is another delivery.
    states = [pair for pair in states if pair[0] != "ignored" or pair[1] not in OBSERVED] or states
    state = min((state for state, _ in states), key=STATES.index)
    codes = {code for other, code in states if other == state}
    if state in OPEN and any(delivery.state not in ("held", "dead") for delivery in deliveries):
        # A claim does not touch the event: it may show what the delivery was before.
        # The route of an open delivery may observe: then it does not count, and nothing here says so.
        ended = [other for other, _ in states if other not in ACTIVE]
        if event["state"] not in OPEN and event["state"] != min(ended, key=STATES.index, default=state):
            yield RowFault(
                "row-differs", "events", key, "state", f"is {event['state']!r}, but a delivery is {state}"
            )
        codes = {"", *(code for _, code in states)}
    elif event["state"] != state:
        yield RowFault(
            "row-differs",
            "events",
            key,
            "state",
            f"is {event['state']!r}, but its deliveries make it {state!r}",
        )
    if None not in codes and event["code"] not in codes:
        possible = " or ".join(map(repr, sorted(codes)))
        yield RowFault(
            "row-differs",
            "events",
            key,
            "code",
            f"is {event['code']!r}, but that of its delivery is {possible}",
        )


class EntryIndex:
    """An index of the entries of each stream in a file. It is a private file on disk, so memory stays small."""

    def __init__(self, path: str) -> None:
        self.file = open(path, "rb")  # noqa: PTH123, SIM115
        self.table = sqlite3.connect("")
        self.table.execute(
            "CREATE TABLE entry (stream, seq, at, position, PRIMARY KEY (stream, seq)) WITHOUT ROWID"
        )
        self.table.execute("CREATE TABLE seen (reference PRIMARY KEY, kind, entity) WITHOUT ROWID")
        self.table.execute("CREATE INDEX seen_entity ON seen (entity)")
        # The links that persons removed.
        self.table.execute("CREATE TABLE removal (stream, at)")
        self.history = EntityHistory(self.table)

    def fill(self, lines: Iterable[tuple[int, Entry]]) -> None:
        for position, entry in lines:
            place = (entry["stream"], entry["stream_seq"], entry["at"], position)
            self.table.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)", place)
            if entry["action"] == "link.removed":
                self.table.execute("INSERT INTO removal VALUES (?, ?)", (entry["stream"], entry["at"]))

    def read_stream(self, stream: str) -> list[Entry]:
        places = self.table.execute("SELECT position FROM entry WHERE stream = ? ORDER BY seq", [stream])
        return [self.read_entry(position) for (position,) in places.fetchall()]

    def read_entry(self, position: int) -> Entry:
        self.file.seek(position)
        entry: Entry = json.loads(self.file.readline())
        return entry

    def add_seen(self, event: Row) -> bool:
        """Return False if the event was seen already."""
        entity = json.dumps([event.get("entity_type"), event.get("entity_id")])
        values = [str(event.get("reference")), reported_type(event), entity]
        return self.table.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", values).rowcount > 0

    def unseen_events(self) -> Iterator[tuple[str, str]]:
        """Yield the references of events in the log that were not seen, with their times of arrival."""
        yield from self.table.execute(
            "SELECT substr(stream, 7), at FROM entry WHERE seq = 1 AND stream > 'event:' AND stream < 'event;' "
            "AND substr(stream, 7) NOT IN (SELECT reference FROM seen)"
        )


class EntityHistory:
    """What happened to each entity over all events of an export: its records, and the proofs of its deletions."""

    def __init__(self, table: sqlite3.Connection) -> None:
        self.table = table
        table.execute(
            "CREATE TABLE linking (subject, target, attempt, ended, action, record, is_new, entity, place)"
        )
        table.execute("CREATE INDEX linking_subject ON linking (subject)")
        table.execute("CREATE INDEX linking_record ON linking (record)")
        table.execute("CREATE TABLE absence (attempt PRIMARY KEY, code) WITHOUT ROWID")
        table.execute("CREATE TABLE proof (attempt, kind, key, place)")

    def add(self, place: str, rows: EventRows, streams: Mapping[str, Sequence[Entry]]) -> None:
        proofs = [(*proof, place) for proof in other_proofs(rows, streams)]
        self.table.executemany("INSERT INTO proof VALUES (?, ?, ?, ?)", proofs)
        absent = [(row["attempt"], row["code"]) for row in rows.attempts if row["outcome"] not in LINKING]
        self.table.executemany("INSERT OR IGNORE INTO absence VALUES (?, ?)", absent)
        event, created = rows.event, new_creations(rows, streams)
        if event["entity_id"].startswith(PSEUDONYM_MARK):
            return
        entity = [event["entity_type"], event["entity_id"]]
        for delivery in rows.deliveries:
            subject = json.dumps([delivery["identity_id"], delivery["target_id"], *entity])
            self.table.executemany(
                "INSERT INTO linking VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(subject, delivery["target_id"], row["attempt"], row["ended"], row["action"]),
                        *(row["record_id"], row["attempt"] in created, json.dumps(entity), place),
                    )
                    for row in rows.attempts
                    if row["delivery"] == delivery["delivery"] and row["outcome"] in LINKING and row["ended"]
                ],
            )

    def faults(self, deletions: Deletions, *, has_deleted_events: bool) -> Iterator[tuple[str, RowFault]]:
        """Yield the places and faults of creations of second records, and of deletions without their proof."""
        created = (
            "SELECT subject, target, entity, place, attempt, ended, action, record FROM linking WHERE is_new"
        )
        for subject, target, entity, place, *columns in self.table.execute(created):
            creation = LinkingAttempt(*columns)
            others = self.table.execute(
                "SELECT attempt, ended, action, record FROM linking WHERE subject = ?", [subject]
            )
            linked = linked_before(creation, [LinkingAttempt(*row) for row in others])
            # Entries of that time may be deleted, and with them that a person removed the link.
            if linked is None or deletions.has_no_entries(linked.ended):
                continue
            if not self.was_released(subject, target, entity, linked):
                yield place, second_record(creation, linked)
        known = (
            "SELECT proof.attempt, proof.kind, proof.key, proof.place, coalesce(seen.kind, absence.code) FROM proof "
            "LEFT JOIN seen ON proof.kind = 'event' AND seen.reference = proof.key "
            "LEFT JOIN absence ON proof.kind <> 'event' AND absence.attempt = proof.key"
        )
        for attempt, kind, key, place, found in self.table.execute(known):
            # An event of the last second may be newer than the checkpoint.
            may_be_deleted = kind == "event" or has_deleted_events
            for fault in missing_proof(OtherProof(attempt, kind, key), found, may_be_deleted=may_be_deleted):
                yield place, fault

    def was_released(self, subject: str, target: int, entity: str, linked: LinkingAttempt) -> bool:
        """True if a person removed the link, or the target gave the record's id to a new record of another entity."""
        taken = (
            "SELECT 1 FROM linking WHERE record = ? AND target = ? AND action = 'created' AND subject <> ? "
            "AND ended >= ?"
        )
        removed = (
            "SELECT 1 FROM removal WHERE at >= ? AND (stream = ? OR stream IN "
            "(SELECT 'event:' || reference FROM seen WHERE entity = ?))"
        )
        by_target = self.table.execute(taken, [linked.record_id, target, subject, linked.ended]).fetchone()
        by_person = [linked.ended, f"setting:connection:{target}", entity]
        return by_target is not None or self.table.execute(removed, by_person).fetchone() is not None


class RowFile:
    """The rows of a table, in the order of their parents."""

    def __init__(self, name: str, rows: Iterator[tuple[str, dict[str, Any]]]) -> None:
        self.name, self.rows, self.count = name, rows, 0
        self.ahead: Any = next(rows, None)

    def take(self, column: str, parents: Iterable[Any]) -> list[dict[str, Any]]:
        """Return the next rows, as long as they belong to one of these parents."""
        wanted, taken = set(parents), []
        while self.ahead is not None and self.ahead[1].get(column) in wanted:
            taken.append(self.ahead[1])
            self.count += 1
            self.ahead = next(self.rows, None)
        return taken


class RowChecker:
    """Checks the rows of one export against its audit entries. `check_export` fills `faults`, each with its place."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.faults: list[str] = []
        # The code of each fault: docs/audit-format.md lists them.
        self.codes: list[str] = []
        self.deletions = Deletions()
        # The number of events that are older than the stored audit entries.
        self.unproved = 0
        # Events received before this time were deleted as export.json states; no entry of the export may say so.
        self.stated_events_before = ""
        # The number of events without a row that only this explains.
        self.stated_deletions = 0
        self.uuids: set[Any] = set()
        # The values of columns that an earlier export does not have.
        self.added: Mapping[str, Any] = {}
        # By the stream of a source or connection: the number and the slug of its newest entry with a slug.
        self.slugs: dict[str, tuple[int, str]] = {}

    def add_fault(self, code: str, place: str, what: object) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.codes.append(code)
            self.faults.append(f"{place}: {what}")

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)  # noqa: PTH118

    def read_json(self, name: str) -> Any:
        with open(self.path(name), "rb") as file:  # noqa: PTH123
            return json.load(file)

    def read_lines(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        with open(self.path(f"{name}.jsonl"), "rb") as file:  # noqa: PTH123
            for number, line in enumerate(file, start=1):
                place = f"{name}.jsonl line {number}"
                try:
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise ValueError("not an object")
                except (ValueError, RecursionError) as error:
                    self.add_fault("unreadable", place, error)
                    continue
                yield place, row

    def find_special_file(self) -> str:
        """Return the name of a link or a special file: one may lead out of the folder, or never end. Empty if there is
        none.
        """
        for folder, folders, names in os.walk(self.folder):
            for name in folders + names:
                path = os.path.join(folder, name)  # noqa: PTH118
                mode = os.lstat(path).st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    return os.path.relpath(path, self.folder)
        return ""

    def check_export(self) -> list[str]:
        try:
            # Before anything is opened: to open a pipe waits for its writer.
            if name := self.find_special_file():
                self.add_fault("special-file", name, "is a link or a special file")
                return self.faults
            if self.read_json("manifest.json").get("v", 1) != 1:
                raise ValueError("the export is of a later format, which needs the program of a newer hub")
            self.metadata = self.read_json("export.json")
            if missing := [name for name in METADATA_FIELDS if name not in self.metadata]:
                raise ValueError(f"export.json lacks {', '.join(missing)}")
            if self.metadata["entries_since"]:
                self.deletions.entries_before = (
                    parse_time(self.metadata["entries_since"]) + CLOCKS_APART
                ).strftime(TIME_FORMAT)
            # A call of a filtered export, or one deleted after the checkpoint: no entry of the export explains it.
            self.deletions.calls_before = self.read_time("calls_deleted_before")
            self.stated_events_before = self.read_time("events_deleted_before")
            self.check_metadata()
            self.entries = EntryIndex(self.path("entries.jsonl"))
            self.entries.fill(self.read_entries())
            # A filtered export has no entry of an erasure; nor has one that begins later.
            if self.metadata["first_segment"] != 1:
                self.deletions.erased = None
            self.check_rows()
            has_deleted = self.deletions.events_before or self.stated_events_before or self.metadata["gone"]
            for place, fault in self.entries.history.faults(
                self.deletions, has_deleted_events=bool(has_deleted)
            ):
                self.add_fault(fault.code, place, fault)
            self.check_missing()
            self.check_table()
        except READ_ERRORS as error:
            self.add_fault("unreadable", "the export", f"{type(error).__name__}: {error}")
        return self.faults

    def check_metadata(self) -> None:
        """Compare what export.json says about the entries with the manifest, which says so too."""
        manifest = self.read_json("manifest.json")
        is_whole = manifest["kind"] == "whole"
        expected = {"whole": is_whole, "first_segment": manifest["first"] if is_whole else None}
        for name, value in expected.items():
            if self.metadata[name] != value or type(self.metadata[name]) is not type(value):
                self.add_fault(
                    "row-differs",
                    f"export.json {name}",
                    f"is {self.metadata[name]!r}, but the manifest says {value!r}",
                )

    def read_time(self, name: str) -> str:
        """Return a time of export.json, empty if it has none. Raises ValueError or TypeError if it is not a time."""
        at = self.metadata[name]
        return parse_time(at).strftime(TIME_FORMAT) if at != "" else ""

    def read_entries(self) -> Iterator[tuple[int, Entry]]:
        """Yield the position and content of each entry."""
        position, confirmed = 0, 0
        with open(self.path("entries.jsonl"), "rb") as file:  # noqa: PTH123
            for number, line in enumerate(file, start=1):
                try:
                    entry = json.loads(line)
                    self.deletions.add_entry(entry)
                    self.add_slug(entry)
                    yield position, entry
                    confirmed += {"erasure.confirmed": 1, "subject.erased": -1}.get(entry["action"], 0)
                except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
                    place = f"entries.jsonl line {number}"
                    self.add_fault("unreadable", place, f"{type(error).__name__}: {error}")
                position += len(line)
        # While one goes on, there are pseudonyms that no entry has yet.
        if confirmed > 0:
            self.deletions.erased = None

    def add_slug(self, entry: Entry) -> None:
        slug = recorded_slug(entry["action"], entry["stream"], entry["details"])
        newest = self.slugs.get(entry["stream"], (0, ""))
        if slug is not None and entry["stream_seq"] > newest[0]:
            self.slugs[entry["stream"]] = (entry["stream_seq"], slug)

    def check_slugs(self, rows: EventRows) -> Faults:
        """Compare the slugs of an event and the rows under it with the newest entries that say them."""
        for table, row in (
            ("events", rows.event),
            *(("deliveries", row) for row in rows.deliveries),
            *(("calls", row) for row in rows.calls),
        ):
            for column, kind, key in SLUG_COLUMNS[table]:
                newest = self.slugs.get(f"setting:{kind}:{row[key]}")
                if newest is not None:
                    yield from compare_columns(table, row[KEYS[table]], row, {column: newest[1]})

    def check_rows(self) -> None:
        """Compare each event and the rows under it, which follow each other in the order of the events."""
        files = {name: RowFile(name, self.read_lines(name)) for name in PARENTS}
        count = 0
        for place, stored in self.read_lines("events"):
            count += 1
            # The first row says which columns the file has.
            if count == 1 and ADDED["events"].keys().isdisjoint(stored):
                self.added = ADDED["events"]
            event = {**self.added, **stored}
            reference = event.get("reference")
            if not self.entries.add_seen(event):
                self.add_fault("row-duplicate", place, f"event {reference} appears twice")
            self.uuids.add(event.get("uuid"))
            if not self.matches_filter(event.get("received", "")):
                self.add_fault(
                    "row-outside-filter",
                    place,
                    f"event {reference} was not received within the period of the filter",
                )
            receipts = files["receipts"].take("event", [reference])
            deliveries = files["deliveries"].take("event", [reference])
            attempts = files["attempts"].take("delivery", [row.get("delivery") for row in deliveries])
            calls = files["calls"].take("attempt", [row.get("attempt") for row in attempts])
            self.check_one(place, EventRows(event, receipts, deliveries, attempts, calls))
        self.compare_count("events", count)
        for name, file in files.items():
            # Rows whose parent is missing, or that are out of order: reading stopped before the first of them.
            if file.ahead is not None:
                column = PARENTS[name][0]
                place, row = file.ahead
                self.add_fault(
                    "parent-missing", place, f"belongs to {column} {row.get(column)}, which is missing"
                )
                file.count += 1 + sum(1 for _ in file.rows)
            self.compare_count(name, file.count)

    def check_one(self, place: str, rows: EventRows) -> None:
        for name in ("receipts", "deliveries", "attempts", "calls"):
            keys = Counter(row.get(KEYS[name]) for row in getattr(rows, name))
            for key in (key for key, times in keys.items() if times > 1):
                self.add_fault("row-duplicate", place, f"{KEYS[name]} {key} appears twice")
        routes = Counter(row.get("route") for row in rows.deliveries)
        for route in (route for route, times in routes.items() if times > 1):
            self.add_fault("row-duplicate", place, f"route {route} appears in {routes[route]} deliveries")
        reference = rows.event.get("reference")
        streams = [f"event:{reference}"]
        streams += [f"delivery:{reference}:{row.get('route')}" for row in rows.deliveries]
        stored = {stream: self.entries.read_stream(stream) for stream in streams}
        if not stored[streams[0]] and self.deletions.has_no_entries(rows.event.get("received", "")):
            self.unproved += 1
        try:
            require_columns("events", rows.event)
            for name in PARENTS:
                for row in getattr(rows, name):
                    require_columns(name, row)
            for fault in check_event(rows, stored, self.deletions):
                self.add_fault(fault.code, place, fault)
            for fault in self.check_slugs(rows):
                self.add_fault(fault.code, place, fault)
            if self.has_all_events:
                self.entries.history.add(place, rows, stored)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.add_fault(
                "unreadable", place, f"event {reference} is unreadable: {type(error).__name__}: {error}"
            )

    def check_missing(self) -> None:
        """Find webhooks on the log that have no row; only for an export that has the whole log within its times.

        Webhooks that the log says were deleted for their age need no row. The entry of a deletion after the
        checkpoint is not in the export: there export.json states the time. Those webhooks are counted.
        """
        if not self.metadata["whole"]:
            return
        for reference, at in self.entries.unseen_events():
            if at < self.deletions.events_before or not self.matches_filter(at):
                continue
            if at < self.stated_events_before:
                self.stated_deletions += 1
            else:
                self.add_fault(
                    "row-missing",
                    f"event:{reference}",
                    f"was received at {at}, but has no row in events.jsonl",
                )

    @property
    def has_all_events(self) -> bool:
        """True if no event of an entity was left out because of its time or of a filter."""
        bounds = (self.metadata["filter"].get(f"received_{name}") for name in ("from", "to"))
        return bool(self.metadata["whole"]) and not any(bounds)

    def matches_filter(self, at: str) -> bool:
        begin, end = (self.metadata["filter"].get(f"received_{name}", "") for name in ("from", "to"))
        return begin <= at and (not end or at < end)

    def check_table(self) -> None:
        """Compare the events of the readable table with those of events.jsonl."""
        kind = self.metadata["table"]
        if kind == "none":
            return
        name = "events.xlsx" if kind == "xlsx" else "events.csv"
        listed = self.uuids_in_sheet(name) if kind == "xlsx" else self.uuids_in_csv(name)
        if len(listed) != len(set(listed)):
            self.add_fault("table-differs", name, "has the same event twice")
        extra = set(listed) - self.uuids
        # The table is of the first snapshot. Rows of events that were deleted before a later one are missing.
        if self.uuids - set(listed) or len(extra) > self.metadata["gone"]:
            self.add_fault("table-differs", name, "does not have the same events as events.jsonl")

    def uuids_in_sheet(self, name: str) -> list[str]:
        """Return the first column without its heading."""
        uuids = []
        path = os.path.join(self.folder, name)  # noqa: PTH118
        with zipfile.ZipFile(path) as packed, packed.open("xl/worksheets/sheet1.xml") as sheet:
            for _, part in iterparse(sheet):  # noqa: S314 - verify.py has checked whose it is
                if part.tag.endswith("}row"):
                    uuids.append("".join(part[0].itertext()))
                    # Frees the row: a sheet can have a million.
                    part.clear()
        return uuids[1:]

    def uuids_in_csv(self, name: str) -> list[str]:
        with open(os.path.join(self.folder, name), encoding="utf-8", newline="") as file:  # noqa: PTH118, PTH123
            csv.field_size_limit(1 << 24)
            table = csv.reader(file)
            place = next(table, []).index("uuid")
            return [row[place] for row in table]

    def compare_count(self, name: str, count: int) -> None:
        if self.metadata["rows"].get(name) != count:
            self.add_fault(
                "count-differs",
                f"{name}.jsonl",
                f"has {count} rows, but export.json says {self.metadata['rows'].get(name)}",
            )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Check the rows of an export against its audit entries.")
    parser.add_argument(
        "folder", nargs="?", default=".", help="the folder that holds export.json: this one unless named"
    )
    rows = RowChecker(parser.parse_args(arguments).folder)
    rows.check_export()
    for code, fault in zip(rows.codes, rows.faults):  # noqa: B905, since Python 3.10
        print(f"FAULT [{code}] {fault}")
    if rows.faults:
        noun = "fault" if len(rows.faults) == 1 else "faults"
        print(f"{len(rows.faults)} {noun}. The rows do not match the audit entries.")
        return 1
    counts = ", ".join(f"{count} {name}" for name, count in rows.metadata["rows"].items())
    print(f"The rows match the audit entries: {counts}.")
    if rows.unproved:
        print(
            f"The audit entries of {rows.unproved} events were deleted after their retention period: "
            f"only the hub's signature proves these events."
        )
    if rows.stated_deletions:
        print(
            f"{rows.stated_deletions} events in the audit log have no row: export.json says that events received "
            f"before {rows.metadata['events_deleted_before']} were deleted for their age. The entry of that deletion "
            f"is newer than the checkpoint: the next export proves it."
        )
    if rows.metadata["gone"]:
        print(f"{rows.metadata['gone']} events were deleted from the hub while the export was being made.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
