"""Everything that is known of one event, gathered for its page in a bounded number of statements and rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest
from django.utils import timezone

from console.deliveries.delivery_status import DeliveryStatus, describe_status, expired_claim_words
from console.events.attempts import AttemptRow, attempts_by_delivery, system_name
from console.payloads.content import PayloadAbsence, PayloadContent, raw_content
from console.payloads.reveal import seconds_revealed
from console.permissions import CONTENTS
from console.ui.outcome_texts import (
    describe_code,
    explain_absent_entity,
    explain_outcome,
    explain_pause,
    is_replayable,
)
from sync.deliveries.blockers import is_paused, surroundings
from sync.models import Attempt, Delivery, FailureGroup, Replay
from webhooks.catalogue.codes import Words
from webhooks.models import Event, Receipt, State, is_erased

MAX_RECEIPTS = 50
MAX_SAME_ENTITY = 5
_NOTICE_STYLES: Mapping[str, str] = {
    State.DEAD: "bad",
    State.RETRYING: "warn",
    State.HELD: "warn",
    State.SUCCEEDED: "good",
    State.UNCHANGED: "good",
}
_FAILED = (State.DEAD, State.RETRYING)
_RELATED = (
    "route__paused_by",
    "identity__breaker",
    "commercial__breaker",
    "covered_by__delivery__event",
    "replay__requested_by",
)


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """One request, and what it was told."""

    row: Receipt
    title: str
    answer: PayloadContent | None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery with its newest attempts."""

    row: Delivery
    words: Words
    status: DeliveryStatus
    attempts: tuple[AttemptRow, ...]

    @property
    def running_attempt(self) -> Attempt | None:
        """The attempt that is under way, where the person may see attempts."""
        return self.attempts[0].row if self.row.state == State.RUNNING and self.attempts else None

    @property
    def covering_attempt(self) -> Attempt | None:
        """The attempt that settled this delivery with its own, where that was another delivery's."""
        covered_by = self.row.covered_by
        return covered_by if covered_by and covered_by.delivery_id != self.row.pk else None


@dataclass(frozen=True, slots=True)
class EventPage:
    """The content of the page. `may` names the parts that this person may see; `received` needs view_contents.

    `deciding_delivery`: the delivery that decides the event's state; None if there is none, or the person may not
    see it.
    """

    event: Event
    deciding_delivery: DeliveryRow | None
    digest: str
    now: datetime
    may: dict[str, bool]
    received: PayloadContent | None
    receipts: tuple[ReceiptRow, ...]
    has_more_receipts: bool
    deliveries: tuple[DeliveryRow, ...]
    same_entity: tuple[Event, ...]
    group: FailureGroup | None
    revealed_for: int

    @property
    def words(self) -> Words:
        """The diagnosis: the words of the delivery that decides name the system that they are about."""
        return (
            self.deciding_delivery.words
            if self.deciding_delivery
            else explain_outcome(self.event.state, self.event.code)
        )

    @property
    def last_refusal(self) -> AttemptRow | None:
        """The newest attempt of what failed, where it is known what was said of it."""
        attempts = (
            self.deciding_delivery.attempts if self.deciding_delivery and self.event.state in _FAILED else ()
        )
        return attempts[0] if attempts and attempts[0].messages else None

    @property
    def replay_is_next(self) -> bool:
        """Whether a replay is what this event needs: it failed, and the same again can succeed."""
        return self.event.state == State.DEAD and is_replayable(self.event.code)

    @property
    def notice_style(self) -> str:
        """The style of the diagnosis."""
        return _NOTICE_STYLES.get(str(self.event.state), "quiet")

    @property
    def similar_failures(self) -> int:
        """How many other deliveries failed for the same reason and are failed still."""
        return max(0, self.group.number - 1) if self.group else 0

    @property
    def replays(self) -> tuple[Replay, ...]:
        """What people asked for, newest first; of the attempts that are shown and of what waits."""
        found = [each.row.replay for each in self.deliveries]
        found += [attempt.row.replay for each in self.deliveries for attempt in each.attempts]
        known = {replay.pk: replay for replay in found if replay is not None}
        return tuple(known[pk] for pk in sorted(known, reverse=True))


def build_event_page(event: Event, request: HttpRequest) -> EventPage:
    """Gather the page. What the person may not see is not read either."""
    may = _part_permissions(request)
    seconds = seconds_revealed(request, event) if may["contents"] else 0
    may["revealed"] = seconds > 0
    now, missing = timezone.now(), PayloadAbsence(event)
    deliveries = _delivery_rows(event, may, now, missing) if may["deliveries"] else ()
    receipts = _receipt_rows(event, may, missing, deliveries) if may["receipts"] else []
    return EventPage(
        event=event,
        deciding_delivery=_deciding_delivery(event, deliveries),
        digest=bytes(event.digest).hex(),
        now=now,
        may=may,
        received=_received_content(event, missing, covered=not may["revealed"]) if may["contents"] else None,
        receipts=tuple(receipts[:MAX_RECEIPTS]),
        has_more_receipts=len(receipts) > MAX_RECEIPTS,
        deliveries=deliveries,
        same_entity=_events_of_entity(event),
        group=_failure_group(event, deliveries) if may["groups"] else None,
        revealed_for=seconds,
    )


def _events_of_entity(event: Event) -> tuple[Event, ...]:
    """The newest five other events of this entity, whoever told us."""
    rows = Event.objects.filter(entity_id=event.entity_id, entity_type=event.entity_type)
    newest = rows.order_by("-received_at", "-pk")[: MAX_SAME_ENTITY + 1]
    return tuple(each for each in newest if each.pk != event.pk)[:MAX_SAME_ENTITY]


def _failure_group(event: Event, deliveries: tuple[DeliveryRow, ...]) -> FailureGroup | None:
    """What else failed for the reason of this event's failure."""
    dead = next((each.row for each in deliveries if each.row.state == State.DEAD), None)
    if dead is None:
        return None
    return FailureGroup.objects.filter(connection=dead.system_of(dead.code), code=dead.code).first()


def _part_permissions(request: HttpRequest) -> dict[str, bool]:
    needed = {
        "contents": CONTENTS,
        "replay": "webhooks.replay_event",
        "receipts": "webhooks.view_receipt",
        "deliveries": "sync.view_delivery",
        "attempts": "sync.view_attempt",
        "calls": "sync.view_call",
        "groups": "sync.view_failuregroup",
    }
    return {part: request.user.has_perm(permission) for part, permission in needed.items()}


def _received_content(event: Event, missing: PayloadAbsence, *, covered: bool) -> PayloadContent:
    gone = "" if event.payload else missing.reason_text(event.received_at)
    return raw_content(event.payload, gone, is_masked=covered)


def _receipt_rows(
    event: Event, may: dict[str, bool], missing: PayloadAbsence, deliveries: Sequence[DeliveryRow]
) -> list[ReceiptRow]:
    rows = event.receipts.order_by("-id")
    rows = rows.select_related("answer__subject") if may["contents"] else rows
    return [
        ReceiptRow(
            row,
            describe_code(row.code, _system_of_code(row.code, deliveries)).title,
            _answer_content(row, missing, covered=not may["revealed"]) if may["contents"] else None,
        )
        for row in rows[: MAX_RECEIPTS + 1]
    ]


def _system_of_code(code: str, deliveries: Sequence[DeliveryRow]) -> str:
    """The name of the one system that a code can be about; of several no name fits."""
    names = {system_name(each.row, code) for each in deliveries}
    return names.pop() if len(names) == 1 else ""


def _answer_content(row: Receipt, missing: PayloadAbsence, *, covered: bool) -> PayloadContent:
    gone = "" if row.answer else missing.reason_text(row.answered_at or row.received_at)
    return raw_content(row.answer, gone, is_masked=covered)


def _delivery_rows(
    event: Event, may: dict[str, bool], now: datetime, missing: PayloadAbsence
) -> tuple[DeliveryRow, ...]:
    rows = list(event.deliveries.select_related(*_RELATED).order_by("id"))
    attempts = attempts_by_delivery(rows, may, now, missing) if may["attempts"] else {}
    around = surroundings(rows)
    shown = ((row, describe_status(row, around), tuple(attempts.get(row.pk, ()))) for row in rows)
    return tuple(
        DeliveryRow(row, _delivery_words(row, found, tries), found, tries) for row, found, tries in shown
    )


def _delivery_words(row: Delivery, found: DeliveryStatus, tries: Sequence[AttemptRow]) -> Words:
    if found.is_claim_expired:
        return expired_claim_words()
    if row.state == State.UNCHANGED and tries and tries[0].found_nothing and not is_erased(row.entity_id):
        return explain_absent_entity(
            row.identity.name, row.commercial.name, is_left_alone=row.route.ignores_gone
        )
    return (
        explain_pause()
        if is_paused(row)
        else explain_outcome(row.state, row.code, system_name(row, row.code))
    )


def _deciding_delivery(event: Event, deliveries: Sequence[DeliveryRow]) -> DeliveryRow | None:
    return next(
        (each for each in deliveries if (each.row.state, each.row.code) == (event.state, event.code)), None
    )
