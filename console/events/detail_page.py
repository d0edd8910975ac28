"""Everything that is known of one event, gathered for its page in a bounded number of statements and rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest
from django.utils import timezone

from console.deliveries.status import Standing, gone, standing
from console.events.attempts import AttemptShown, attempts_of, speaker
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

MOST_RECEIPTS = 50
MOST_BESIDE = 5
_NOTICES: Mapping[str, str] = {
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
class ReceiptShown:
    """One request, and what it was told."""

    row: Receipt
    title: str
    told: PayloadContent | None


@dataclass(frozen=True, slots=True)
class DeliveryShown:
    """One delivery with its newest attempts."""

    row: Delivery
    words: Words
    standing: Standing
    attempts: tuple[AttemptShown, ...]

    @property
    def running(self) -> Attempt | None:
        """The attempt that is under way, where the person may see attempts."""
        return self.attempts[0].row if self.row.state == State.RUNNING and self.attempts else None

    @property
    def covering(self) -> Attempt | None:
        """The attempt that settled this delivery with its own, where that was another delivery's."""
        covered_by = self.row.covered_by
        return covered_by if covered_by and covered_by.delivery_id != self.row.pk else None


@dataclass(frozen=True, slots=True)
class EventPage:
    """What the page shows. `may` names the parts that this person may see; `received` needs view_contents.

    `deciding`: the delivery that decides the event's state; None where there is none, or the person may not see it.
    """

    event: Event
    deciding: DeliveryShown | None
    digest: str
    now: datetime
    may: dict[str, bool]
    received: PayloadContent | None
    receipts: tuple[ReceiptShown, ...]
    has_more_receipts: bool
    deliveries: tuple[DeliveryShown, ...]
    same_entity: tuple[Event, ...]
    group: FailureGroup | None
    revealed_for: int

    @property
    def words(self) -> Words:
        """The diagnosis: the words of the delivery that decides name the system that they are about."""
        return self.deciding.words if self.deciding else explain_outcome(self.event.state, self.event.code)

    @property
    def refusal(self) -> AttemptShown | None:
        """The newest attempt of what failed, where it is known what was said of it."""
        attempts = self.deciding.attempts if self.deciding and self.event.state in _FAILED else ()
        return attempts[0] if attempts and attempts[0].said else None

    @property
    def replay_is_next(self) -> bool:
        """Whether a replay is what this event needs: it failed, and the same again can succeed."""
        return self.event.state == State.DEAD and is_replayable(self.event.code)

    @property
    def notice(self) -> str:
        """The style of the diagnosis."""
        return _NOTICES.get(str(self.event.state), "quiet")

    @property
    def others(self) -> int:
        """How many other deliveries failed for the same reason and are failed still."""
        return max(0, self.group.number - 1) if self.group else 0

    @property
    def replays(self) -> tuple[Replay, ...]:
        """What people asked for, newest first; of the attempts that are shown and of what waits."""
        found = [each.row.replay for each in self.deliveries]
        found += [attempt.row.replay for each in self.deliveries for attempt in each.attempts]
        known = {replay.pk: replay for replay in found if replay is not None}
        return tuple(known[pk] for pk in sorted(known, reverse=True))


def event_page(event: Event, request: HttpRequest) -> EventPage:
    """Gather the page. What the person may not see is not read either."""
    may = _permissions(request)
    seconds = seconds_revealed(request, event) if may["contents"] else 0
    may["revealed"] = seconds > 0
    now, missing = timezone.now(), PayloadAbsence(event)
    deliveries = _deliveries(event, may, now, missing) if may["deliveries"] else ()
    receipts = _receipts(event, may, missing, deliveries) if may["receipts"] else []
    return EventPage(
        event=event,
        deciding=_deciding(event, deliveries),
        digest=bytes(event.digest).hex(),
        now=now,
        may=may,
        received=_received(event, missing, covered=not may["revealed"]) if may["contents"] else None,
        receipts=tuple(receipts[:MOST_RECEIPTS]),
        has_more_receipts=len(receipts) > MOST_RECEIPTS,
        deliveries=deliveries,
        same_entity=_same_entity(event),
        group=_group(event, deliveries) if may["groups"] else None,
        revealed_for=seconds,
    )


def _same_entity(event: Event) -> tuple[Event, ...]:
    """The newest five other events of this entity, whoever told us."""
    rows = Event.objects.filter(entity_id=event.entity_id, entity_type=event.entity_type)
    newest = rows.order_by("-received_at", "-pk")[: MOST_BESIDE + 1]
    return tuple(each for each in newest if each.pk != event.pk)[:MOST_BESIDE]


def _group(event: Event, deliveries: tuple[DeliveryShown, ...]) -> FailureGroup | None:
    """What else failed for the reason of this event's failure."""
    dead = next((each.row for each in deliveries if each.row.state == State.DEAD), None)
    if dead is None:
        return None
    return FailureGroup.objects.filter(connection=dead.system_of(dead.code), code=dead.code).first()


def _permissions(request: HttpRequest) -> dict[str, bool]:
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


def _received(event: Event, missing: PayloadAbsence, *, covered: bool) -> PayloadContent:
    gone = "" if event.payload else missing.reason_text(event.received_at)
    return raw_content(event.payload, gone, is_masked=covered)


def _receipts(
    event: Event, may: dict[str, bool], missing: PayloadAbsence, deliveries: Sequence[DeliveryShown]
) -> list[ReceiptShown]:
    rows = event.receipts.order_by("-id")
    rows = rows.select_related("answer__subject") if may["contents"] else rows
    return [
        ReceiptShown(
            row,
            describe_code(row.code, _system(row.code, deliveries)).title,
            _told(row, missing, covered=not may["revealed"]) if may["contents"] else None,
        )
        for row in rows[: MOST_RECEIPTS + 1]
    ]


def _system(code: str, deliveries: Sequence[DeliveryShown]) -> str:
    """The name of the one system that a code can be about; of several no name fits."""
    names = {speaker(each.row, code) for each in deliveries}
    return names.pop() if len(names) == 1 else ""


def _told(row: Receipt, missing: PayloadAbsence, *, covered: bool) -> PayloadContent:
    gone = "" if row.answer else missing.reason_text(row.answered_at or row.received_at)
    return raw_content(row.answer, gone, is_masked=covered)


def _deliveries(
    event: Event, may: dict[str, bool], now: datetime, missing: PayloadAbsence
) -> tuple[DeliveryShown, ...]:
    rows = list(event.deliveries.select_related(*_RELATED).order_by("id"))
    attempts = attempts_of(rows, may, now, missing) if may["attempts"] else {}
    around = surroundings(rows)
    shown = ((row, standing(row, around), tuple(attempts.get(row.pk, ()))) for row in rows)
    return tuple(DeliveryShown(row, _words(row, found, tries), found, tries) for row, found, tries in shown)


def _words(row: Delivery, found: Standing, tries: Sequence[AttemptShown]) -> Words:
    if found.is_gone:
        return gone()
    if row.state == State.UNCHANGED and tries and tries[0].found_nothing and not is_erased(row.entity_id):
        return explain_absent_entity(
            row.identity.name, row.commercial.name, is_left_alone=row.route.ignores_gone
        )
    return explain_pause() if is_paused(row) else explain_outcome(row.state, row.code, speaker(row, row.code))


def _deciding(event: Event, deliveries: Sequence[DeliveryShown]) -> DeliveryShown | None:
    return next(
        (each for each in deliveries if (each.row.state, each.row.code) == (event.state, event.code)), None
    )
