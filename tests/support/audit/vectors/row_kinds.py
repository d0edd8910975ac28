"""The published test vectors of `check_rows.py` by name: which export, and which fault in its rows."""

from collections.abc import Callable
from pathlib import Path

from tests.support.audit.log_state import LogState
from tests.support.audit.vectors import row_faults as faults
from tests.support.audit.vectors import row_scenarios as scenarios
from tests.support.audit.vectors.faults import Change, cut_bytes, remove
from tests.support.audit.vectors.kinds import BadVector, GoodVector
from tests.support.audit.vectors.row_exports import RowExport

_EXPORTS: dict[str, tuple[Callable[[], RowExport], str]] = {
    "rows-whole": (
        scenarios.whole,
        "three events in four segments: succeeded, ignored, and failed on one of two routes",
    ),
    "rows-every-action": (
        scenarios.every_action,
        "two events; the last entries of their deliveries are all actions that set columns of theirs",
    ),
    "rows-no-event": (scenarios.without_events, "a period in which nothing arrived"),
    "rows-period": (scenarios.of_a_period, "one event by its time, with segments 2 to 4"),
    "rows-filtered": (scenarios.filtered, "one event by its state, with the streams of it alone"),
    "rows-xlsx": (scenarios.filtered_with_sheet, "the same, with a table in XLSX"),
    "rows-newer": (scenarios.newer_rows, "an event whose rows are newer than its entries"),
    "rows-deleted-meanwhile": (
        scenarios.deleted_meanwhile,
        "a table in CSV has an event more, which was deleted while the export was made",
    ),
    "rows-erased": (scenarios.erased, "the entity of the only event was erased"),
    "rows-being-erased": (scenarios.being_erased, "an erasure goes on: no entry has the pseudonym yet"),
    "rows-filtered-erased": (
        scenarios.erased_and_filtered,
        "a pseudonym in an export without entries about erasures",
    ),
    "rows-events-deleted": (scenarios.events_deleted, "retention deleted the first event"),
    "rows-events-deleted-after-checkpoint": (
        scenarios.events_deleted_after_checkpoint,
        "retention deleted the first event after the checkpoint: export.json alone says so",
    ),
    "rows-calls-deleted": (
        scenarios.calls_deleted,
        "retention deletes old calls: the first event has none left",
    ),
    "rows-entries-deleted": (
        scenarios.entries_pruned,
        "the only event is older than the entries that are stored",
    ),
}
GOOD_ROWS = {name: GoodVector(about) for name, (_, about) in _EXPORTS.items()}


def write_good_rows(name: str, folder: Path) -> None:
    """Write one of the correct scenarios."""
    _EXPORTS[name][0]().write(folder)


def row_log_of(name: str) -> LogState:
    """Return the log that a vector is of."""
    return _EXPORTS[name][0]().to_log()


def _bad(code: str, about: str, change: Change, base: str = "rows-filtered") -> BadVector:
    return BadVector(base, code, about, faults.without_sums(change))


_OTHER = "0" * 26
_UUID = "00000000-0000-7000-8000-000000000000"
_LATER = "2026-03-04T14:00:00.000000Z"
BAD_ROWS = {
    # Rows that are missing
    "rows-event-missing": _bad(
        "row-missing", "an event was deleted with everything under it", faults.delete_event(0), "rows-whole"
    ),
    "rows-receipt-missing": _bad(
        "row-missing", "the receipt of the repeat was deleted", faults.delete_row("receipts", 1)
    ),
    "rows-delivery-missing": _bad(
        "row-missing", "a delivery was deleted with its attempt", faults.delete_delivery, "rows-whole"
    ),
    "rows-attempt-missing": _bad(
        "row-missing", "a failed attempt was deleted with its call", faults.delete_attempt, "rows-whole"
    ),
    "rows-call-missing": _bad("row-missing", "a write was deleted", faults.delete_row("calls", 1)),
    "rows-event-missing-after-retention": _bad(
        "row-missing",
        "an event was deleted that is younger than retention deletes",
        faults.delete_event(0),
        "rows-events-deleted",
    ),
    "rows-event-missing-after-checkpoint": _bad(
        "row-missing",
        "an event was deleted that is younger than export.json says that retention deleted",
        faults.delete_event(0),
        "rows-events-deleted-after-checkpoint",
    ),
    "rows-event-missing-unexplained": _bad(
        "row-missing",
        "neither the log nor export.json says that retention deleted the first event",
        faults.edit_metadata(events_deleted_before=""),
        "rows-events-deleted-after-checkpoint",
    ),
    "rows-call-missing-after-retention": _bad(
        "row-missing",
        "a call was deleted that is younger than retention deletes",
        faults.delete_row("calls", 0),
        "rows-calls-deleted",
    ),
    # Rows that nothing in the log is about
    "rows-event-unexpected": _bad(
        "row-unexpected",
        "an event that never arrived",
        faults.copy_row("events", 2, reference=_OTHER, uuid=_UUID),
        "rows-whole",
    ),
    "rows-receipt-unexpected": _bad(
        "row-unexpected", "a repeat that never arrived", faults.copy_row("receipts", 1, receipt=_OTHER)
    ),
    "rows-delivery-unexpected": _bad(
        "row-unexpected",
        "a delivery on a route that its event does not name",
        faults.copy_row("deliveries", 2, delivery=9, route=9, entries=0),
        "rows-whole",
    ),
    "rows-attempt-unexpected": _bad(
        "row-unexpected",
        "an attempt that was never made",
        faults.copy_row("attempts", 3, attempt=_UUID, number=2),
        "rows-whole",
    ),
    "rows-call-unexpected": _bad(
        "row-unexpected", "a call that was never sent", faults.copy_row("calls", 1, call=9, path="/api/other")
    ),
    # Rows that appear twice
    "rows-event-twice": _bad("row-duplicate", "an event appears twice", faults.copy_row("events", 0)),
    "rows-receipt-twice": _bad("row-duplicate", "a receipt appears twice", faults.copy_row("receipts", 0)),
    "rows-delivery-twice": _bad(
        "row-duplicate", "a delivery appears twice", faults.copy_row("deliveries", 0)
    ),
    "rows-route-twice": _bad(
        "row-duplicate",
        "two deliveries of an event on one route",
        faults.copy_row("deliveries", 0, delivery=9, entries=0),
    ),
    "rows-attempt-twice": _bad("row-duplicate", "an attempt appears twice", faults.copy_row("attempts", 0)),
    "rows-call-parts": _bad(
        "digest-differs",
        "the responses of two calls are exchanged",
        faults.swap_values("calls", 0, 1, "response_part"),
    ),
    "rows-call-twice": _bad("row-duplicate", "a call appears twice", faults.copy_row("calls", 0)),
    # Columns that entries name
    "rows-time-of-arrival": _bad(
        "row-differs", "an event arrived at another time", faults.edit_row("events", 0, received=_LATER)
    ),
    "rows-uuid": _bad(
        "row-differs",
        "the UUID of an event is not that of its reference",
        faults.edit_row("events", 0, uuid=_UUID),
    ),
    "rows-state-of-event": _bad(
        "row-differs",
        "a failed event says that it succeeded",
        faults.edit_row("events", 2, state="succeeded"),
        "rows-whole",
    ),
    "rows-code-of-event": _bad(
        "row-differs",
        "an event has another reason",
        faults.edit_row("events", 2, code="target-unavailable"),
        "rows-whole",
    ),
    "rows-ignored-event": _bad(
        "row-differs",
        "an ignored event says that it is unchanged",
        faults.edit_row("events", 1, state="unchanged"),
        "rows-whole",
    ),
    "rows-response": _bad(
        "row-differs",
        "another response to a request",
        faults.edit_row("receipts", 3, status=200),
        "rows-whole",
    ),
    "rows-source-slug": _bad(
        "row-differs",
        "the slug of a source is one that it no longer had",
        faults.edit_row("events", 0, source="old-aurora"),
        "rows-whole",
    ),
    "rows-target-slug": _bad(
        "row-differs",
        "a delivery has the slug of another connection",
        faults.edit_row("deliveries", 0, target="aurora-id"),
        "rows-whole",
    ),
    "rows-call-slug": _bad(
        "row-differs",
        "a call has the slug of another connection",
        faults.edit_row("calls", 0, connection="shop"),
        "rows-whole",
    ),
    "rows-connection": _bad(
        "row-differs", "a delivery to another target", faults.edit_row("deliveries", 0, target_id=3)
    ),
    "rows-state-of-delivery": _bad(
        "row-differs",
        "a failed delivery says that it succeeded",
        faults.edit_row("deliveries", 1, state="succeeded"),
        "rows-whole",
    ),
    "rows-end-of-delivery": _bad(
        "row-differs", "a delivery ended at another time", faults.edit_row("deliveries", 0, settled=_LATER)
    ),
    "rows-outcome-of-attempt": _bad(
        "row-differs",
        "an attempt has another outcome",
        faults.edit_row("attempts", 2, outcome="succeeded"),
        "rows-whole",
    ),
    "rows-newer-start": _bad(
        "row-differs",
        "an attempt began at another time than its entry says; its end is newer than the entries",
        faults.edit_row("attempts", 1, started=_LATER),
        "rows-newer",
    ),
    "rows-verification": _bad(
        "row-differs",
        "a request was verified by another secret",
        faults.edit_row("receipts", 0, verified_by="standard-webhooks:2"),
    ),
    "rows-size": _bad("row-differs", "a request had another size", faults.edit_row("receipts", 0, size=98)),
    "rows-time-of-repeat": _bad(
        "row-differs", "a repeat arrived at another time", faults.edit_row("receipts", 1, received=_LATER)
    ),
    "rows-time-of-response": _bad(
        "row-differs", "a response was sent at another time", faults.edit_row("receipts", 0, answered=_LATER)
    ),
    "rows-code-of-response": _bad(
        "row-differs", "a response had another outcome", faults.edit_row("receipts", 0, code="unchanged")
    ),
    "rows-final": _bad(
        "row-differs", "an outcome was not final", faults.edit_row("receipts", 0, final=False)
    ),
    "rows-repeat": _bad("row-differs", "a repeat is none", faults.edit_row("receipts", 1, repeat=False)),
    "rows-relayed": _bad(
        "row-differs", "the webhook's own data was sent", faults.edit_row("deliveries", 0, relayed=True)
    ),
    "rows-identity": _bad(
        "row-differs",
        "a delivery from another identity service",
        faults.edit_row("deliveries", 0, identity_id=3),
    ),
    "rows-code-of-delivery": _bad(
        "row-differs", "a delivery has another reason", faults.edit_row("deliveries", 0, code="unchanged")
    ),
    "rows-number-of-attempt": _bad(
        "row-differs", "an attempt has another number", faults.edit_row("attempts", 0, number=2)
    ),
    "rows-cause-of-attempt": _bad(
        "row-differs", "an attempt has another cause", faults.edit_row("attempts", 0, cause="retry")
    ),
    "rows-start-of-attempt": _bad(
        "row-differs", "an attempt began at another time", faults.edit_row("attempts", 0, started=_LATER)
    ),
    "rows-end-of-attempt": _bad(
        "row-differs", "an attempt ended at another time", faults.edit_row("attempts", 0, ended=_LATER)
    ),
    "rows-code-of-attempt": _bad(
        "row-differs", "an attempt has another reason", faults.edit_row("attempts", 0, code="unchanged")
    ),
    "rows-retryable": _bad(
        "row-differs", "a retry could have helped", faults.edit_row("attempts", 0, retryable=True)
    ),
    "rows-action-of-attempt": _bad(
        "row-differs", "an attempt did something else", faults.edit_row("attempts", 0, action="created")
    ),
    "rows-state-of-checked-event": _bad(
        "row-differs",
        "an event has the state of a delivery that is checked again",
        faults.edit_row("events", 1, state="pending"),
        "rows-every-action",
    ),
    "rows-done-by-hand": _bad(
        "row-differs",
        "a delivery that was resolved manually says that it succeeded",
        faults.edit_row("deliveries", 14, state="succeeded"),
        "rows-every-action",
    ),
    # Columns that digests cover
    "rows-facts": _bad(
        "digest-differs", "another type of event", faults.edit_row("events", 0, event_type="DELETE")
    ),
    "rows-subject": _bad("digest-differs", "another entity", faults.edit_row("events", 0, entity_id="USR-2")),
    "rows-subject-key": _bad(
        "digest-differs", "another key", faults.edit_row("events", 0, subject_key="00" * 16)
    ),
    "rows-record": _bad("digest-differs", "another record", faults.edit_row("attempts", 0, record_id="4712")),
    "rows-record-emptied": _bad(
        "digest-differs",
        "the id of a record is missing",
        faults.edit_row("attempts", 2, record_id=""),
        "rows-whole",
    ),
    "rows-call": _bad(
        "digest-differs", "another response to a call", faults.edit_row("calls", 2, status=200), "rows-whole"
    ),
    "rows-call-copied": _bad(
        "digest-differs", "a write was replaced by a copy of the call before it", faults.replace_call_by_copy
    ),
    # Rows of another moment or period
    "rows-event-outdated": _bad(
        "row-outdated", "an event as it was before its last entry", faults.edit_row("events", 0, entries=3)
    ),
    "rows-delivery-outdated": _bad(
        "row-outdated",
        "a delivery as it was before its last entry",
        faults.edit_row("deliveries", 1, entries=3),
        "rows-whole",
    ),
    "rows-outside-filter": _bad(
        "row-outside-filter", "an event that arrived later", faults.add_event_of_another_time, "rows-period"
    ),
    # Parents
    "rows-receipt-of-none": _bad(
        "parent-missing",
        "a receipt of no event",
        faults.copy_row("receipts", 1, event=_OTHER, receipt=_OTHER),
    ),
    "rows-delivery-of-none": _bad(
        "parent-missing", "a delivery of no event", faults.copy_row("deliveries", 0, event=_OTHER, delivery=9)
    ),
    "rows-attempt-of-none": _bad(
        "parent-missing",
        "an attempt of no delivery",
        faults.copy_row("attempts", 0, delivery=9, attempt=_UUID),
    ),
    "rows-call-of-none": _bad(
        "parent-missing", "a call of no attempt", faults.copy_row("calls", 1, attempt=_UUID, call=9)
    ),
    "rows-receipts-swapped": _bad(
        "row-missing",
        "receipts of two events are in each other's place",
        faults.swap_rows("receipts", 0, 2),
        "rows-whole",
    ),
    # Erasures
    "rows-erasure-unrecorded": _bad(
        "erasure-unrecorded",
        "a pseudonym that no entry names",
        faults.edit_row("events", 0, entity_id="~" + "f" * 64),
        "rows-erased",
    ),
    "rows-erasure-of-another": _bad(
        "erasure-unrecorded",
        "an event was given a pseudonym, but no entry says that it was erased",
        faults.edit_row(
            "events", 0, entity_id=f"~{scenarios.PSEUDONYM}", event_id=None, body_sha256="", subject_key=None
        ),
    ),
    "rows-erased-with-event-id": _bad(
        "erasure-incomplete",
        "the event id is still there",
        faults.edit_row("events", 0, event_id="evt-1"),
        "rows-erased",
    ),
    "rows-erased-with-body": _bad(
        "erasure-incomplete",
        "the hash of the body is still there",
        faults.edit_row("events", 0, body_sha256="ab" * 32),
        "rows-erased",
    ),
    "rows-erased-with-key": _bad(
        "erasure-incomplete",
        "the key of the digests is still there",
        faults.edit_row("events", 0, subject_key="00" * 16),
        "rows-erased",
    ),
    "rows-erased-with-record": _bad(
        "erasure-incomplete",
        "the id of the record is still there",
        faults.edit_row("attempts", 0, record_id="4711"),
        "rows-erased",
    ),
    # Tables and counts
    "rows-csv-without-event": _bad(
        "table-differs", "the table in CSV is empty", faults.empty_csv, "rows-deleted-meanwhile"
    ),
    "rows-csv-with-event-twice": _bad(
        "table-differs",
        "the table in CSV has an event twice",
        faults.repeat_csv_line,
        "rows-deleted-meanwhile",
    ),
    "rows-csv-with-more": _bad(
        "table-differs",
        "the table has an event more, and none was deleted",
        faults.edit_metadata(gone=0),
        "rows-deleted-meanwhile",
    ),
    "rows-xlsx-without-event": _bad(
        "table-differs", "the table in XLSX is empty", faults.empty_sheet, "rows-xlsx"
    ),
    "rows-whole-denied": _bad(
        "row-differs",
        "export.json says that the export is filtered, and an event was deleted",
        faults.deny_whole,
        "rows-whole",
    ),
    "rows-other-first-segment": _bad(
        "row-differs",
        "export.json says that a filtered export begins with segment 1",
        faults.edit_metadata(first_segment=1),
        "rows-filtered-erased",
    ),
    "rows-counts": _bad("count-differs", "export.json counts a call more", faults.edit_counts(calls=3)),
    # Files that cannot be read
    "rows-no-metadata": _bad("unreadable", "there is no export.json", remove("export.json"), "rows-no-event"),
    "rows-no-deletion-time": _bad(
        "unreadable",
        "export.json does not say up to when events were deleted",
        faults.remove_metadata("events_deleted_before"),
    ),
    "rows-wrong-deletion-time": _bad(
        "unreadable",
        "export.json says that events were deleted up to a time that is none",
        faults.edit_metadata(events_deleted_before="9999"),
        "rows-events-deleted-after-checkpoint",
    ),
    "rows-no-calls": _bad("unreadable", "there is no calls.jsonl", remove("calls.jsonl"), "rows-no-event"),
    "rows-line-cut": _bad(
        "unreadable",
        "the last line of events.jsonl ends in the middle",
        cut_bytes("events.jsonl", 20),
    ),
    "rows-no-object": _bad(
        "unreadable",
        "a line of events.jsonl is a list",
        faults.write_file("events.jsonl", b"[]\n"),
        "rows-no-event",
    ),
    "rows-field-missing": _bad(
        "unreadable", "an event has no `signed`", faults.remove_field("events", 0, "signed")
    ),
    "rows-csv-empty": _bad(
        "unreadable",
        "events.csv has no line",
        faults.write_file("events.csv", b""),
        "rows-deleted-meanwhile",
    ),
    "rows-csv-short-line": _bad(
        "unreadable",
        "a line of events.csv has no cell",
        faults.write_file("events.csv", b"uuid\r\n\r\n"),
        "rows-deleted-meanwhile",
    ),
    "rows-no-sheet": _bad(
        "unreadable",
        "events.xlsx is no archive",
        faults.write_file("events.xlsx", b"no archive\n"),
        "rows-xlsx",
    ),
}
