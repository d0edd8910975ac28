#!/usr/bin/env python3
"""Checks that the rows of an export fit its audit entries: python3 check_rows.py FOLDER

Needs Python 3.9 or newer and nothing else. It believes the entries: run verify.py first. Prints each fault with its
place and ends with 1, or says what fits and ends with 0.
"""

import csv
import json
import os
import sys
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from xml.etree.ElementTree import ParseError, iterparse

MAX_FAULTS = 100
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
# Entries that are older than that are sealed under the checkpoint.
SETTLED = timedelta(minutes=2)
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
KEYS = {"receipts": "receipt", "deliveries": "delivery", "attempts": "attempt", "calls": "call"}
READ_ERRORS = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OSError,
    csv.Error,
    zipfile.BadZipFile,
    ParseError,
)


def parse_time(at: str) -> datetime:
    # `datetime.UTC` needs Python 3.11, and this script runs on 3.9.
    return datetime.strptime(at, TIME_FORMAT).replace(tzinfo=timezone.utc)  # noqa: UP017


class RowChecker:
    """Checks the rows of one export against its audit entries, and collects the faults."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.faults: list[str] = []
        # The time of the first entry of each stream; empty if it was pruned.
        self.stream_starts: dict[str, str] = {}
        # Attempts that began before this time must be in the audit log.
        self.sealed_before = ""
        # The number of events that are older than the stored audit entries.
        self.unproved = 0
        # Audit entries up to this time may have been deleted.
        self.pruned_before = ""
        # The time up to which retention deleted events, according to the audit log.
        self.events_pruned_up_to = ""
        self.uuids: set[Any] = set()
        # By table and key: when an event arrived, the stream of a delivery.
        self.known: dict[str, dict[Any, str]] = {"events": {}, "deliveries": {}, "attempts": {}}

    def add_fault(self, place: str, what: object) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(f"{place}: {what}")

    def read_lines(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        with open(os.path.join(self.folder, f"{name}.jsonl"), "rb") as file:  # noqa: PTH118, PTH123
            for number, line in enumerate(file, start=1):
                place = f"{name}.jsonl line {number}"
                try:
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise ValueError("not an object")
                except ValueError as error:
                    self.add_fault(place, error)
                    row = {}
                yield place, row

    def check_export(self) -> list[str]:
        try:
            with open(os.path.join(self.folder, "export.json"), "rb") as file:  # noqa: PTH118, PTH123
                self.metadata = json.load(file)
            with open(os.path.join(self.folder, "checkpoint.json"), "rb") as file:  # noqa: PTH118, PTH123
                self.sealed_before = (parse_time(json.load(file)["at"]) - SETTLED).strftime(TIME_FORMAT)
            if self.metadata["entries_since"]:
                self.pruned_before = (parse_time(self.metadata["entries_since"]) + CLOCKS_APART).strftime(
                    TIME_FORMAT
                )
            for step in (
                self.read_entries,
                self.check_events,
                self.check_children,
                self.check_missing,
                self.check_table,
            ):
                step()
        except READ_ERRORS as error:
            self.add_fault("the export", f"{type(error).__name__}: {error}")
        return self.faults

    def read_entries(self) -> None:
        for _, entry in self.read_lines("entries"):
            stream = entry["stream"]
            if entry["stream_seq"] == 1 and stream.startswith(("event:", "delivery:")):
                self.stream_starts[stream] = entry["at"]
            else:
                self.stream_starts.setdefault(stream, "")
            if entry["action"] in DELETED and entry["details"]["kind"] == "events":
                self.events_pruned_up_to = max(self.events_pruned_up_to, entry["details"]["up_to"])

    def check_events(self) -> None:
        count = 0
        for place, row in self.read_lines("events"):
            count += 1
            reference = row.get("reference")
            if reference in self.known["events"]:
                self.add_fault(place, f"event {reference} appears twice")
            self.known["events"][reference] = row.get("received", "")
            self.uuids.add(row.get("uuid"))
            at = self.stream_starts.get(f"event:{reference}")
            if at is None and self.is_pruned(row.get("received", "")):
                self.unproved += 1
            elif at is None:
                self.add_fault(place, f"event {reference} is not in the audit log")
            # An empty time: the first entries of the stream were pruned, and its beginning is not known.
            elif at and at != row.get("received"):
                self.add_fault(
                    place, f"event {reference} was received at {at}, but its row says {row.get('received')}"
                )
            if not self.matches_filter(row.get("received", "")):
                self.add_fault(place, f"event {reference} was not received within the period of the filter")
        self.compare_count("events", count)

    def check_children(self) -> None:
        for name, (column, parents) in PARENTS.items():
            seen, count = set(), 0
            for place, row in self.read_lines(name):
                count += 1
                if row.get(column) not in self.known[parents]:
                    self.add_fault(place, f"belongs to {column} {row.get(column)}, which is missing")
                key = row.get(KEYS[name])
                if key in seen:
                    self.add_fault(place, f"{key} appears twice")
                seen.add(key)
                if name in self.known:
                    self.known[name][key] = ""
                if name == "deliveries":
                    self.known[name][key] = f"delivery:{row.get('event')}:{row.get('route')}"
                started = row.get("started", "")
                is_due = name == "attempts" and started < self.sealed_before and not self.is_pruned(started)
                if is_due and self.known["deliveries"].get(row.get("delivery")) not in self.stream_starts:
                    self.add_fault(place, f"delivery {row.get('delivery')} is not in the audit log")
            self.compare_count(name, count)

    def check_missing(self) -> None:
        """Find webhooks on the log that have no row; only for an export that has the whole log within its times.

        Webhooks that the log says were deleted for their age need no row.
        """
        if not self.metadata["whole"]:
            return
        for stream, at in self.stream_starts.items():
            kind, _, reference = stream.partition(":")
            is_due = kind == "event" and at >= self.events_pruned_up_to and at and self.matches_filter(at)
            if is_due and reference not in self.known["events"]:
                self.add_fault(stream, f"was received at {at}, but has no row in events.jsonl")

    def is_pruned(self, at: str) -> bool:
        """Return True if the entries of that time may have been pruned."""
        return at <= self.pruned_before

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
            self.add_fault(name, "has the same event twice")
        extra = set(listed) - self.uuids
        # The table is of the first snapshot. Rows of events that were deleted before a later one are missing.
        if self.uuids - set(listed) or len(extra) > self.metadata["gone"]:
            self.add_fault(name, "does not have the same events as events.jsonl")

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
            place = next(table).index("uuid")
            return [row[place] for row in table]

    def compare_count(self, name: str, count: int) -> None:
        if self.metadata["rows"].get(name) != count:
            self.add_fault(
                f"{name}.jsonl", f"has {count} rows, but export.json says {self.metadata['rows'].get(name)}"
            )


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(__doc__)
        return 2
    rows = RowChecker(arguments[0])
    for fault in rows.check_export():
        print("FAULT", fault)
    if rows.faults:
        print(f"{len(rows.faults)} faults. The rows do not match the audit entries.")
        return 1
    counts = ", ".join(f"{count} {name}" for name, count in rows.metadata["rows"].items())
    print(f"The rows match the audit entries: {counts}.")
    if rows.unproved:
        print(
            f"The audit entries of {rows.unproved} events were deleted after their retention period: "
            f"only the hub's signature proves these events."
        )
    if rows.metadata["gone"]:
        print(f"{rows.metadata['gone']} events were deleted from the hub while the export was being made.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
