"""Rows at a fixed time and with fixed keys, which make every page of the console say something."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.models import Entry
from connectors.presets import load_preset
from devtools.stories.moved_clock import set_database_clock
from exports.models import Export
from logins.models import AccessRequest
from sync.models import (
    Alarm,
    Breaker,
    Connection,
    CountedHour,
    Delivery,
    Erasure,
    EventCount,
    FailureGroup,
    Link,
    MappingVersion,
    MatchLinking,
    PersonRequestMember,
    RelinkExample,
    Relinking,
    Route,
    TriedEntity,
)
from tests.support.builders.captured_requests import a_captured_request
from tests.support.builders.compared_pairs import a_comparison, a_difference, an_open_comparison
from tests.support.builders.failed_events import a_failed_event
from tests.support.builders.history import (
    NOON,
    a_call,
    a_delivery,
    a_receipt,
    a_replay,
    an_attempt,
    an_event,
    sealed,
    sealed_findings,
)
from tests.support.builders.overviews import a_failure_group
from tests.support.builders.refusals import a_refusal
from tests.support.builders.settings_rows import DECLARATION
from tests.support.condition_tries import a_finished_try
from tests.support.people import person
from webhooks.models import CapturedRequest, Event, Source, SourceSecret

NOW = NOON + timedelta(minutes=30)


@contextmanager
def fixed_clock() -> Iterator[None]:
    """Set the clock of Django and of the database, which must be SQLite, to NOW; let the next keys of empty tables be 1.

    Within a transaction that is rolled back.
    """
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sqlite_sequence")
    with pytest.MonkeyPatch.context() as patch, set_database_clock(lambda: NOW):
        patch.setattr(timezone, "now", lambda: NOW)
        yield


def page_rows() -> dict[str, Any]:
    """Create the rows. Returns those that addresses of pages contain, by the label of their model and more names."""
    keys = (UUID(int=number, version=4) for number in itertools.count(1))
    root, maija = person("", "root"), person("support", "maija")
    failed = a_failed_event(uuid=next(keys), event_id="msg_1", received_at=NOON)
    route = Route.objects.get()
    for side, preset in ((route.identity, "sandbox-identity"), (route.target, "sandbox-shop")):
        Connection.objects.filter(pk=side.pk).update(settings=load_preset(preset)["settings"])
    MappingVersion.objects.update(declaration=DECLARATION)
    found: dict[str, Any] = {
        "failed": failed,
        "superuser": root,
        "delivery_of_failed": failed.deliveries.get(),
    }
    states = (
        ("retrying", "target-unavailable", {"due_at": NOW + timedelta(minutes=9)}),
        ("held", "held", {}),
        ("succeeded", "succeeded", {}),
        ("unchanged", "unchanged", {}),
        ("closed", "closed", {}),
        ("superseded", "superseded", {}),
        ("pending", "", {"due_at": NOON}),
        ("running", "", {"token": UUID(int=9, version=4), "lease_until": NOW + timedelta(minutes=1)}),
    )
    for number, (state, code, values) in enumerate(states, 1):
        event = an_event(number, source=route.source, uuid=next(keys), state=state, code=code)
        used = (
            {"attempts_used": 2, "last_number": 3}
            if state == "retrying"
            else {"attempts_used": 1, "last_number": 1}
        )
        delivery = a_delivery(event, route, **used, **values)
        change = {"action": "update", "record": "R1", "fields": [], "same": {}}
        if state == "held":
            change["fields"] = [{"name": "active", "before": True, "after": False}]
        attempt = an_attempt(
            delivery,
            1,
            code=code,
            outcome={"retrying": "failed"}.get(state, state)
            if state not in ("pending", "running")
            else "started",
            findings=sealed_findings(change=change),
            record_id="R1",
            **({"ended_at": None} if state in ("pending", "running") else {}),
        )
        if state == "retrying":
            a_call(attempt)
        found[state] = event
        found[f"delivery_of_{state}"] = delivery
    for number, (name, code, event_type) in enumerate(
        (("ignored", "ignored", "UPDATE"), ("moved", "ignored", "MOVED"), ("filtered", "filtered", "UPDATE")),
        20,
    ):
        values = {"state": "ignored", "code": code, "event_type": event_type}
        found[name] = an_event(number, source=route.source, uuid=next(keys), **values)
    with transaction.atomic():
        append_entries(
            NewEntry("setting:source:1", "source.changed", f"person:{root.pk}", {"before": {"name": "A"}}),
            at=NOON,
        )
    rows = found | {
        "webhooks_source": route.source,
        "webhooks_event": failed,
        "webhooks_receipt": a_receipt(
            None, code="not-json", status=400, payload=sealed("webhook", b"nonsense"), source=route.source
        ),
        "webhooks_refusal": a_refusal(
            times=37, reason="header-missing", header_names=["host", "x-signature"]
        ),
        "secret": SourceSecret.objects.create(source=route.source, value="whsec_x", hint="x"),
        "sync_connection": route.target,
        "identity": route.identity,
        "sync_route": route,
        "sync_mapping": route.mapping,
        "sync_delivery": found["delivery_of_held"],
        **_replays(maija, failed, found["succeeded"], keys),
        **_watched(route),
        "sync_erasure": Erasure.objects.create(
            requested_by=root,
            reason="a letter",
            requested_at=NOON,
            entity_type="USER",
            entity_id="U1",
            sources=[],
            ground="objection",
        ),
        "exports_export": Export.objects.create(
            uuid=next(keys),
            requested_by=root,
            reason="the yearly audit",
            created_at=NOON,
            snapshot_at=NOON,
            filter={},
        ),
        "audit_entry": Entry.objects.get(action="source.changed"),
        "sync_failuregroup": FailureGroup.objects.get(code="target-rejected", number=12),
        "auth_user": person("administrator", "colleague"),
        "logins_accessrequest": AccessRequest.objects.create(
            role=Group.objects.get(name="support"), role_name="support", requested_by=root, requested_at=NOON
        ),
        "auth_group": Group.objects.get(name="support"),
        "link": Link.objects.create(
            identity=route.identity,
            target=route.target,
            entity_type="USER",
            entity_id="USR-1",
            record_id="R1",
            applied_at=NOON,
        ),
    }
    rows["captured"] = _captured(route.source)
    rows["relinking"] = _relinking(rows["link"], maija, next(keys))
    rows |= _comparisons(route, maija, keys)
    rows |= _condition_tries(route, maija, keys)
    User.objects.update(date_joined=NOON)
    return rows


def _captured(source: Source) -> CapturedRequest:
    """Open a capture window that has stored a request, and return that."""
    a_captured_request(source, NOON, size=40_000)
    CapturedRequest.objects.update(is_cut=True)
    return CapturedRequest.objects.get()


def _relinking(link: Link, by: Any, key: UUID) -> Relinking:
    """Create the preview of a run that links the records of the target again."""
    run = Relinking.objects.create(
        uuid=key,
        connection=link.target,
        state="ready",
        reason="restored from a backup",
        requested_by=by,
        requested_at=NOON,
        counts={"stays": 1_200, "relinked": 37, "held": 2},
    )
    moved = {"relinking": run, "link": link, "record_before": link.record_id}
    RelinkExample.objects.create(outcome="relinked", record_after="R2", **moved)
    RelinkExample.objects.create(outcome="held", **moved)
    return run


def _condition_tries(route: Route, by: Any, keys: Iterator[UUID]) -> dict[str, Any]:
    """Create a finished try of a condition with examples, one that runs, and one that failed."""
    asked = {"requested_by": by, "requested_at": NOON, "reason": "only employees"}
    counts = {"stay": 388, "leave": 112, "enter": 41, "outside": 1_207, "cannot-say": 3, "left": 2}
    figures = {"counts": counts, "read_count": 1_753, "read_linked": 500, "linked_count": 500}
    tried = a_finished_try(route, "entity.active", uuid=next(keys), ended_at=NOW, **figures, **asked)
    for outcome, number in (("leave", 1), ("leave", 2), ("enter", 3), ("cannot-say", 4)):
        why = "the condition gives null, neither true nor false" if outcome == "cannot-say" else ""
        entity = {"outcome": outcome, "entity_id": f"USR-{number}", "detail": why}
        TriedEntity.objects.create(condition_try=tried, **entity)
    failed = {"state": "failed", "failure": "identity-unavailable"}
    running = {"state": "running", "ended_at": None, "read_count": 1_200, "total_count": 5_000}
    return {
        "condition_try": tried,
        "failed_condition_try": a_finished_try(route, uuid=next(keys), **failed, **asked),
        "running_condition_try": a_finished_try(route, uuid=next(keys), **running, **asked),
    }


def _comparisons(route: Route, by: Any, keys: Iterator[UUID]) -> dict[str, Any]:
    """Create a finished comparison with differences, one that runs, and one that failed."""
    failed = a_comparison(route, uuid=next(keys), state="failed", failure="identity-unavailable", counts={})
    counts = {"in-step": 9_786, "differs": 1_214, "entity-gone": 2, "in-step-removed": 3, "found-by-value": 2}
    asked = {"cause": "person", "requested_by": by, "unconfirmed": {"differs": 214}}
    finished = a_comparison(route, uuid=next(keys), counts=counts, target_gap="target-unavailable", **asked)
    one = a_difference(finished)
    a_difference(finished, 2, status="not-confirmed", fields=[])
    a_difference(finished, 3, kind="entity-gone", delivery_state="held", code="held")
    matched = a_difference(finished, 4, kind="found-by-value", code="verified-unique", fields=[])
    a_difference(finished, 5, kind="found-by-value", code="ambiguous", record_id="", fields=[])
    MatchLinking.objects.create(
        uuid=next(keys),
        comparison=finished,
        state="ready",
        reason="first load",
        requested_by=by,
        requested_at=NOON,
        total=2,
        previewed={"verified-unique": 1, "ambiguous": 1},
    )
    running = an_open_comparison(route, uuid=next(keys))
    found = {"running_comparison": running, "failed_comparison": failed}
    return {"sync_comparison": finished, "difference": one, "matched": matched, **found}


def _replays(by: Any, failed: Event, done: Event, keys: Iterator[UUID]) -> dict[str, Any]:
    """Create a replay of one event, a finished one of several, one that awaits approval, and an approval."""
    one = a_replay(by, uuid=next(keys), events=1, deliveries=1)
    said = {"sentence": "anna@example.com is taken.", "errors": []}
    terms = {"cause": "replay", "person_request": one, "findings": sealed_findings(answer=said)}
    an_attempt(failed.deliveries.get(), 2, code="target-rejected", **terms)
    meant = {"filter": {"state": "dead"}, "frozen_at": NOON}
    finished = a_replay(
        by,
        uuid=next(keys),
        state="finished",
        started_at=NOON,
        ended_at=NOW,
        total=3,
        events=2,
        succeeded=1,
        failed=1,
        skipped=1,
        **meant,
    )
    for event, state, why in ((failed, "failed", "target-rejected"), (done, "succeeded", "")):
        PersonRequestMember.objects.create(
            person_request=finished, event=event, state=state, why=why, at=NOON
        )
    awaiting = a_replay(by, uuid=next(keys), state="awaiting", total=900, **meant)
    approval = a_replay(by, uuid=next(keys), kind="approval", events=7, deliveries=7)
    under_way = {"state": "running", "pace": "normal", "started_at": NOON, "due_at": NOON}
    counts = {"total": 5, "events": 5, "succeeded": 3, "retrying": 2, "first_failures": 2}
    retried = a_replay(by, uuid=next(keys), **under_way, **counts, **meant)
    PersonRequestMember.objects.create(
        person_request=retried, event=failed, state="retrying", why="target-unavailable", at=NOON
    )
    replays = {"sync_personrequest": one, "finished": finished, "awaiting": awaiting, "approval": approval}
    return {**replays, "retried": retried}


def _split_rejected(route: Route) -> None:
    """Give the rejected events two causes, with the sentence of the shop for each."""
    taken = FailureGroup.objects.get(code="target-rejected")
    Delivery.objects.filter(state="dead", code="target-rejected").update(failure_key="0" * 16)
    FailureGroup.objects.filter(pk=taken.pk).update(failure_key="0" * 16)
    times = {"first_at": taken.first_at, "last_at": taken.last_at}
    FailureGroup.objects.create(
        connection=route.target, code="target-rejected", failure_key="1" * 16, number=3, **times
    )
    event = an_event(5_000, uuid=UUID(int=5_000), state="dead", code="target-rejected")
    said = {"sentence": "Customer 4711 has no postal code.", "errors": []}
    an_attempt(
        a_delivery(event, route, failure_key="1" * 16, attempts_used=1, last_number=1),
        1,
        code="target-rejected",
        findings=sealed_findings(answer=said),
    )


def _watched(route: Route) -> dict[str, Any]:
    """Create an open and an ended alarm, a paused connection, and counts of the last hours."""
    began = {"began_at": NOON, "raised_at": NOON}
    for code, number in (("target-rejected", 12), ("target-unavailable", 740), ("target-credentials", 16)):
        a_failure_group(code, number)
    FailureGroup.objects.filter(code="target-credentials").update(known_fix="Restart it.")
    _split_rejected(route)
    MappingVersion.objects.filter(mapping=route.mapping).update(created_at=NOW)
    a_receipt(None, event_count=3, code="accepted", status=202)
    for code in ("too-many-requests", "too-large"):
        a_refusal(code)
    alarm = Alarm.objects.create(kind="deliveries-dead", subject="", count=1, **began)
    ended = {"subject": f"connection:{route.target.pk}", "name": "The shop", "ended_at": NOW}
    Alarm.objects.create(kind="connection-paused", **ended, **began)
    Breaker.objects.create(
        connection=route.target,
        failures=5,
        openings=1,
        code="target-unavailable",
        opened_at=NOON,
        open_until=NOW + timedelta(minutes=2),
    )
    hour = datetime(NOON.year, NOON.month, NOON.day, NOON.hour, tzinfo=NOON.tzinfo)
    for ago, state, number in ((0, "dead", 1), (1, "succeeded", 1_233), (30, "succeeded", 800)):
        begins = hour - timedelta(hours=ago)
        CountedHour.objects.create(begins_at=begins, counted_at=NOW)
        EventCount.objects.create(
            hour=begins,
            source=route.source,
            entity_type="USER",
            event_type="UPDATE",
            state=state,
            number=number,
        )
    return {"sync_alarm": alarm}
