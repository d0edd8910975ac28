"""What happened to the events of the published test vectors of `check_rows.py`, and what was exported of it."""

from random import Random
from typing import Any

from audit.format.signed_records import format_time
from tests.support.audit.entries import after_start
from tests.support.audit.vectors.bundles import PRUNING_STREAM
from tests.support.audit.vectors.history import History, Row, first_key
from tests.support.audit.vectors.row_exports import RowExport

FETCH = {"purpose": "fetch"}
UPDATE = {"purpose": "update", "write": True, "method": "PATCH", "path": "/api/customers/{id}"}
BUSY = {**UPDATE, "status": 503, "error": "target-unavailable", "received_bytes": 0}
REJECTED = {**UPDATE, "status": 422, "error": "target-rejected", "received_bytes": 331}
# A time between the first event and the second, 30 minutes before the second.
HALF_PAST = format_time(after_start(1_800))
ERASURE = "00000000-0000-4000-8000-000000000001"
PSEUDONYM = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"


def short_history() -> History:
    """Return one event in one segment. It succeeded, and was sent twice."""
    history = History(Random("hub audit vectors 2"))
    history.append("setting:signing-key", "signing-key.begun", first_key())
    for kind, key, slug in (
        ("source", 1, "old-aurora"),
        ("connection", 1, "aurora-id"),
        ("connection", 2, "shop"),
    ):
        after = {"name": slug.title(), "slug": slug}
        history.append(f"setting:{kind}:{key}", f"{kind}.created", {"after": after}, "person:1")
    renamed = {"before": {"slug": "old-aurora"}, "after": {"slug": "aurora"}, "changed": ["slug"]}
    history.append("setting:source:1", "source.changed", renamed, "person:1")
    history.seconds = 10
    event = history.receive("USR-1", "evt-1")
    attempt = history.start_attempt(event, 1)
    history.end_attempt(
        event, attempt, "succeeded", "succeeded", [FETCH, UPDATE], action="updated", record_id="4711"
    )
    history.answer(event, 200, "succeeded", final=True)
    history.repeat(event)
    history.answer(event, 200, "succeeded", final=True)
    history.seal()
    return history


def small_history() -> History:
    """Return three events in four segments: that one, one that was ignored, and one that failed on one of two routes.

    The third event's first attempt is still running when segment 3 is sealed.
    """
    history = short_history()
    history.seconds = 3_600
    history.receive("PLN-2", "evt-2", "PLANET", ())
    history.seal()
    history.seconds = 5_400
    event = history.receive("USR-3", "evt-3", routes=(1, 2))
    first = history.start_attempt(event, 1)
    history.seal()
    history.end_attempt(
        event,
        first,
        "failed",
        "target-unavailable",
        [BUSY],
        state="retrying",
        retryable=True,
        record_id="4713",
    )
    history.answer(event, 424, "target-unavailable", final=False)
    second = history.start_attempt(event, 2)
    history.end_attempt(event, second, "unchanged", "unchanged", [FETCH], action="none", record_id="4713")
    third = history.start_attempt(event, 1, "retry")
    history.end_attempt(event, third, "failed", "target-rejected", [REJECTED], state="dead", record_id="4713")
    history.seal()
    return history


def _references(history: History) -> list[str]:
    return [row["reference"] for row in history.tables["events"]]


def whole() -> RowExport:
    return RowExport(small_history())


def every_action_history() -> History:
    """Return two events. The last entries of their deliveries are all actions that set columns of theirs."""
    history = History(Random("hub audit vectors 3"))
    history.seconds = 10
    event = history.receive("USR-1", "evt-1", routes=range(1, 17))
    for route, calls in ((1, [FETCH]), (2, [FETCH]), (3, [])):
        history.end_without_result(event, history.start_attempt(event, route), "interrupted", calls)
    history.act(event, 2, "postponed", {"code": "target-paused"}, state="retrying", code="target-paused")
    history.act(event, 3, "given_up", {}, state="dead", settled=True)
    for route in (4, 5):
        history.end_without_result(event, history.start_attempt(event, route), "crashes-hub", [], dead=True)
    history.act(event, 5, "reopened", {"cause": "replay"}, state="pending", settled=None)
    _end(history, event, 6, "superseded", "superseded")
    _end(history, event, 7, "failed", "target-rejected", state="dead", became="pending")
    for route, word in enumerate(("approved", "record-linked", "record-approved", "superseded"), start=8):
        _end(history, event, route, "held", "held-removal")
        columns = {"state": "pending", "settled": None}
        if word == "superseded":
            columns = {"state": "superseded", "code": "superseded", "settled": True}
        history.act(event, route, word, {}, **columns)
    _end(history, event, 12, "held", "held-removal")
    history.act(event, 13, "covered", {"state": "succeeded", "code": "succeeded"}, **_SUCCEEDED, settled=True)
    for route, word in ((14, "closed"), (15, "done-by-hand")):
        history.act(event, route, word, {}, state="closed", code="closed", settled=True)
    history.start_attempt(event, 16)
    history.open_routes(event, [17])
    attempt = _end(history, event, 17, "succeeded", "succeeded")
    for word in ("repaired", "confirmed"):
        history.append(
            f"delivery:{event['reference']}:17", f"attempt.{word}", {"attempt": attempt["attempt"]}
        )
    checked = history.receive("USR-2", "evt-2", routes=(1, 2))
    for route in (1, 2):
        _end(history, checked, route, "succeeded", "succeeded")
        history.act(checked, route, "reopened", {"cause": "recheck"}, state="pending", settled=None)
    _end(history, checked, 1, "unchanged", "unchanged", became="succeeded", cause="recheck")
    history.seal()
    return history


def held_and_run(cause: str) -> RowExport:
    """Return an export of one event whose delivery was held, and ran again although nobody had decided about it."""
    history = History(Random("hub audit vectors 4"))
    history.seconds = 10
    event = history.receive("USR-1", "evt-1")
    _end(history, event, 1, "held", "held")
    _end(history, event, 1, "succeeded", "succeeded", cause)
    history.seal()
    return RowExport(history)


def replayed_without_request() -> RowExport:
    """Return an export of one event that was held while a replay of it was due, for which nobody had asked."""
    history = History(Random("hub audit vectors 5"))
    history.seconds = 10
    event = history.receive("USR-1", "evt-1")
    _end(history, event, 1, "held", "held", became="pending")
    _end(history, event, 1, "succeeded", "succeeded", "replay")
    history.seal()
    return RowExport(history)


def deleted_without_proof() -> RowExport:
    """Return an export of an update that deleted the record of its entity, and nothing says why."""
    history = History(Random("hub audit vectors 6"))
    history.seconds = 10
    event = history.receive("USR-1", "evt-1")
    attempt = history.start_attempt(event, 1)
    history.end_attempt(event, attempt, "succeeded", "succeeded", [], action="deleted", record_id="4711")
    history.seal()
    return RowExport(history)


def created_twice() -> RowExport:
    """Return an export of two events of one entity, each of which created a record of its own."""
    history = History(Random("hub audit vectors 7"))
    history.seconds = 10
    for number, record in enumerate(("4711", "4712"), start=1):
        event = history.receive("USR-1", f"evt-{number}")
        attempt = history.start_attempt(event, 1)
        history.end_attempt(event, attempt, "succeeded", "succeeded", [], action="created", record_id=record)
    history.seal()
    return RowExport(history)


_SUCCEEDED = {"state": "succeeded", "code": "succeeded"}


def _end(
    history: History, event: Row, route: int, outcome: str, code: str, cause: str = "webhook", **columns: Any
) -> Row:
    attempt = history.start_attempt(event, route, cause)
    history.end_attempt(event, attempt, outcome, code, [], action="none", **columns)
    return attempt


def every_action() -> RowExport:
    """Return an export of these events. A delivery that is checked again counts with the state that it had before."""
    export = RowExport(every_action_history())
    export.history.tables["events"][1] |= _SUCCEEDED
    return export


def without_events() -> RowExport:
    """Return an export of a period in which nothing arrived."""
    export = RowExport(small_history(), {"received_from": format_time(after_start(7_200))}, first=4)
    export.history.keep_events([])
    return export


def of_a_period() -> RowExport:
    """Return an export of the second event by its time, without the first segment."""
    bounds = {"received_from": HALF_PAST, "received_to": format_time(after_start(5_000))}
    export = RowExport(small_history(), bounds, first=2)
    export.history.keep_events(_references(export.history)[1:2])
    return export


def filtered() -> RowExport:
    """Return an export of the first event by its state."""
    export = RowExport(small_history(), {"state": "succeeded"}, first=0)
    export.history.keep_events(_references(export.history)[:1])
    return export


def of_first_version() -> RowExport:
    """Return an export as 0.1.0 made it: its events have no columns that say what made them."""
    return RowExport(small_history(), left_out=("origin", "requested_by"))


def made_history() -> History:
    """Return the first event, and two that a comparison made: one that a person requested, and one by schedule."""
    history = short_history()
    history.seconds = 3_600
    event = history.make("USR-1", 7)
    attempt = history.start_attempt(event, 1, "comparison")
    history.end_attempt(
        event, attempt, "succeeded", "succeeded", [FETCH, UPDATE], action="updated", record_id="4711"
    )
    history.make("USR-2", None)
    history.seal()
    return history


def made() -> RowExport:
    return RowExport(made_history())


def observed_history() -> History:
    """Return three events: two of the three routes of the first observed, and the third found it superseded; both of
    the second observed, one after a retry; and the third killed the processes that ran it on a route that observes.
    """
    history = History(Random("hub audit vectors 8"))
    history.seconds = 10
    first = history.receive("USR-1", "evt-1", routes=(1, 2, 3))
    _end(history, first, 1, "ignored", "observed")
    _end(history, first, 2, "ignored", "observed", failure="held-match")
    _end(history, first, 3, "superseded", "superseded")
    second = history.receive("USR-2", "evt-2", routes=(1, 2))
    _end(history, second, 1, "failed", "target-unavailable", state="retrying", retryable=True)
    _end(history, second, 1, "ignored", "observed-failed", "retry", failure="target-unavailable")
    covered = {"state": "ignored", "code": "observed"}
    history.act(second, 2, "covered", covered, **covered, settled=True)
    third = history.receive("USR-3", "evt-3")
    attempt = history.start_attempt(third, 1)
    history.end_without_result(third, attempt, "crashes-hub", [], dead=True, observes=True)
    history.seal()
    return history


def observed() -> RowExport:
    return RowExport(observed_history())


def comparison_as_cause() -> RowExport:
    """Return an export in which an attempt of a webhook begins because of a comparison, as its entry says."""
    history = short_history()
    history.seconds = 3_600
    history.start_attempt(history.receive("USR-2", "evt-2"), 1, "comparison")
    history.seal()
    return RowExport(history)


def newer_rows() -> RowExport:
    """Return an export whose checkpoint is older than the end of the third event."""
    return RowExport(small_history(), segments=3)


def filtered_with_sheet() -> RowExport:
    export = filtered()
    export.table = "xlsx"
    return export


def deleted_meanwhile() -> RowExport:
    """Return a filtered export of two events, one of which was deleted while it was made."""
    history = small_history()
    gone = history.ordered_rows()["events"][0]
    history.keep_events(_references(history)[2:])
    return RowExport(history, {"state": "succeeded,dead"}, first=0, table="csv", gone=[gone])


def _erase_first(history: History) -> None:
    """Replace the entity of the first event by a pseudonym, and empty what names it. Its stream has the entry."""
    history.tables["events"][0] |= {
        "entity_id": f"~{PSEUDONYM}",
        "event_id": None,
        "body_sha256": "",
        "subject_key": None,
    }
    history.tables["attempts"][0]["record_id"] = ""


def _record_erased_event(history: History) -> None:
    history.append(f"event:{_references(history)[0]}", "event.erased", {"erasure": ERASURE})


def _confirm_erasure(history: History) -> str:
    """Append the entry of a confirmed erasure. Returns its stream."""
    history.seconds = 7_200
    stream = "erasure:1"
    history.append(stream, "erasure.confirmed", {"entity_type": "USER"}, "person:2")
    return stream


def erased() -> RowExport:
    history = short_history()
    stream = _confirm_erasure(history)
    _record_erased_event(history)
    details = {
        "erasure": ERASURE,
        "pseudonyms": [PSEUDONYM],
        "entity_type": "USER",
        "counts": {},
        "ground": "request",
    }
    history.append(stream, "subject.erased", details)
    history.seal()
    _erase_first(history)
    return RowExport(history)


def being_erased() -> RowExport:
    """Return an export made while an erasure goes on: no entry has the pseudonym yet."""
    history = short_history()
    _confirm_erasure(history)
    _record_erased_event(history)
    history.seal()
    _erase_first(history)
    return RowExport(history)


def erased_and_filtered() -> RowExport:
    export = filtered()
    export.history.seconds = 7_200
    _record_erased_event(export.history)
    export.history.seal()
    _erase_first(export.history)
    return export


def events_deleted() -> RowExport:
    """Return an export after retention deleted the first event."""
    history = small_history()
    history.seconds = 7_200
    details = {"kind": "events", "up_to": HALF_PAST}
    history.append("system", "retention.begun", details)
    history.append("system", "retention.pruned", {**details, "rows": 7})
    history.seal()
    history.keep_events(_references(history)[1:])
    # export.json states no time: the log alone explains it.
    return RowExport(history)


def events_deleted_after_checkpoint() -> RowExport:
    """Return an export before whose snapshot retention deleted the first event; no entry of the export says so."""
    history = small_history()
    history.keep_events(_references(history)[1:])
    return RowExport(history, events_deleted_before=HALF_PAST)


def calls_deleted() -> RowExport:
    """Return an export made while retention deletes old calls: those of the first event are gone."""
    history = small_history()
    history.seconds = 7_200
    history.append("system", "retention.begun", {"kind": "calls", "up_to": HALF_PAST})
    history.seal()
    history.keep_calls({row["attempt"] for row in history.tables["attempts"][1:]})
    return RowExport(history, calls_deleted_before=HALF_PAST)


def entries_pruned() -> RowExport:
    """Return an export after the entries of the first segment were deleted: the event is older than those left."""
    history = short_history()
    history.seconds = 7_200
    segment = history.to_log().segments[0]
    at = segment.record["sealed_at"]
    details = {"segment": 1, "hash": segment.hash.hex(), "days": 30, "entries": len(segment.ids)}
    history.append(PRUNING_STREAM, "audit.pruned", {**details, "sealed_at": at, "up_to": HALF_PAST})
    history.seal()
    return RowExport(history, first=2, pruned=1)
