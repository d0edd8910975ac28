"""The newest attempts of an event's deliveries, with the calls that they made."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from integration_hub.console.contents import (
    ChangeTable,
    Content,
    as_change,
    as_document,
    as_request,
    as_response,
    value_text,
)
from integration_hub.console.missing import Missing
from integration_hub.console.wording import code_words, duration
from sync.models import Attempt, Call, Delivery
from webhooks.codes import Words

MOST_ATTEMPTS = 50
WITH_CALLS = 20
MOST_CALLS = 400


@dataclass(frozen=True, slots=True)
class CallShown:
    """One outgoing request; what it sent and was answered only for people who may see it."""

    row: Call
    took: str
    sent: Content | None
    answered: Content | None


@dataclass(frozen=True, slots=True)
class AttemptShown:
    """One attempt. `said`: the other system's words on its refusal. `missing`: why there is no change any more.
    `calls`: None if not read.
    """

    row: Attempt
    words: Words
    took: str
    change: ChangeTable | None
    said: tuple[str, ...]
    missing: str = ""
    calls: tuple[CallShown, ...] | None = None


def speaker(delivery: Delivery, code: str) -> str:
    """The name of the connection that a code of this delivery is about."""
    side = delivery.identity if code.startswith("identity-") else delivery.commercial
    return side.name


def attempts_of(
    deliveries: Sequence[Delivery], may: Mapping[str, bool], now: datetime, missing: Missing
) -> dict[int, list[AttemptShown]]:
    """By delivery, newest first: 50 attempts in all, of the newest 20 with their calls. Two statements."""
    rows = _attempts(deliveries, may["contents"])
    calls = _calls([row.pk for row in rows[:WITH_CALLS]], may["contents"], missing) if may["calls"] else {}
    owners = {delivery.pk: delivery for delivery in deliveries}
    shown: dict[int, list[AttemptShown]] = defaultdict(list)
    for place, row in enumerate(rows):
        attempt = _shown(row, owners[row.delivery_id], may, now, missing)
        known = tuple(calls.get(row.pk, ())) if place < WITH_CALLS else None
        shown[row.delivery_id].append(replace(attempt, calls=known))
    return shown


def _attempts(deliveries: Sequence[Delivery], with_contents: bool) -> list[Attempt]:
    related = ["mapping_version__mapping", "replay__requested_by"]
    related += ["change__subject", "answer__subject"] if with_contents else []
    rows = Attempt.objects.filter(delivery__in=[each.pk for each in deliveries]).select_related(*related)
    return list(rows.order_by("-id")[:MOST_ATTEMPTS])


def _calls(attempts: list[int], with_contents: bool, missing: Missing) -> dict[int, list[CallShown]]:
    related = ["connection", "request__subject", "response__subject"] if with_contents else ["connection"]
    rows = (
        Call.objects.filter(attempt__in=attempts)
        .select_related(*related)
        .order_by("-attempt", "started_at", "id")
    )
    shown: dict[int, list[CallShown]] = defaultdict(list)
    for row in rows[:MOST_CALLS]:
        gone = missing.sentence(row.started_at) if with_contents and not row.response else ""
        sent = as_request(row, gone) if with_contents else None
        answered = as_response(row, gone) if with_contents and row.status is not None else None
        shown[row.attempt_id].append(CallShown(row, duration(row.seconds), sent, answered))
    return shown


def _shown(
    row: Attempt, delivery: Delivery, may: Mapping[str, bool], now: datetime, missing: Missing
) -> AttemptShown:
    took = duration(((row.ended_at or now) - row.started_at).total_seconds())
    return AttemptShown(
        row=row,
        words=code_words(row.code, speaker(delivery, row.code)),
        took=took if row.ended_at else f"{took} so far",
        change=as_change(row.change) if may["contents"] and row.change_id else None,
        said=_said(as_document(row.answer)) if may["contents"] and row.answer_id else (),
        missing=missing.sentence(row.started_at)
        if may["contents"] and row.action and not row.change_id
        else "",
    )


def _said(document: Mapping[str, Any]) -> tuple[str, ...]:
    sentence = [value_text(document["sentence"])] if document.get("sentence") else []
    errors = [
        ": ".join(value_text(each[name]) for name in ("field", "code", "detail") if each.get(name))
        for each in document.get("errors", [])
    ]
    return (*sentence, *errors)
