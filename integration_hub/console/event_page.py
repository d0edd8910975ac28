"""Everything that is known of one event, gathered for its page in a bounded number of statements and rows."""

from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest
from django.utils import timezone

from integration_hub.console.attempts import AttemptShown, attempts_of, speaker
from integration_hub.console.contents import Content, as_stored
from integration_hub.console.missing import Missing
from integration_hub.console.standing import GONE, Standing, standing, surroundings
from integration_hub.console.wording import reason
from sync.models import Attempt, Delivery
from webhooks.codes import Words
from webhooks.models import Event, Receipt, State

MOST_RECEIPTS = 50
CONTENTS = "webhooks.view_contents"
_RELATED = (
    "route",
    "identity__breaker",
    "commercial__breaker",
    "covered_by__delivery__event",
    "replay__requested_by",
)


@dataclass(frozen=True, slots=True)
class ReceiptShown:
    """One request, and what it was told."""

    row: Receipt
    told: Content | None


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
    """What the page shows. `may` names the parts that this person may see; `received` needs view_contents."""

    event: Event
    words: Words
    digest: str
    now: datetime
    may: dict[str, bool]
    received: Content | None
    receipts: tuple[ReceiptShown, ...]
    has_more_receipts: bool
    deliveries: tuple[DeliveryShown, ...]


def event_page(event: Event, request: HttpRequest) -> EventPage:
    """Gather the page. What the person may not see is not read either."""
    may = _permissions(request)
    now, missing = timezone.now(), Missing(event)
    receipts = _receipts(event, may, missing) if may["receipts"] else []
    deliveries = _deliveries(event, may, now, missing) if may["deliveries"] else ()
    return EventPage(
        event=event,
        words=_diagnosis(event, deliveries),
        digest=bytes(event.digest).hex(),
        now=now,
        may=may,
        received=_received(event, missing) if may["contents"] else None,
        receipts=tuple(receipts[:MOST_RECEIPTS]),
        has_more_receipts=len(receipts) > MOST_RECEIPTS,
        deliveries=deliveries,
    )


def _permissions(request: HttpRequest) -> dict[str, bool]:
    needed = {
        "contents": CONTENTS,
        "replay": "webhooks.replay_event",
        "receipts": "webhooks.view_receipt",
        "deliveries": "sync.view_delivery",
        "attempts": "sync.view_attempt",
        "calls": "sync.view_call",
    }
    return {part: request.user.has_perm(permission) for part, permission in needed.items()}


def _received(event: Event, missing: Missing) -> Content:
    return as_stored(event.payload, "" if event.payload else missing.sentence(event.received_at))


def _receipts(event: Event, may: dict[str, bool], missing: Missing) -> list[ReceiptShown]:
    rows = event.receipts.order_by("-id")
    rows = rows.select_related("answer__subject") if may["contents"] else rows
    return [
        ReceiptShown(row, _told(row, missing) if may["contents"] else None)
        for row in rows[: MOST_RECEIPTS + 1]
    ]


def _told(row: Receipt, missing: Missing) -> Content:
    return as_stored(row.answer, "" if row.answer else missing.sentence(row.answered_at or row.received_at))


def _deliveries(
    event: Event, may: dict[str, bool], now: datetime, missing: Missing
) -> tuple[DeliveryShown, ...]:
    rows = list(event.deliveries.select_related(*_RELATED).order_by("id"))
    attempts = attempts_of(rows, may, now, missing) if may["attempts"] else {}
    around = surroundings(rows)
    shown = ((row, standing(row, around), tuple(attempts.get(row.pk, ()))) for row in rows)
    return tuple(DeliveryShown(row, _words(row, found), found, tries) for row, found, tries in shown)


def _words(row: Delivery, found: Standing) -> Words:
    return GONE if found.is_gone else reason(row.state, row.code, speaker(row, row.code))


def _diagnosis(event: Event, deliveries: tuple[DeliveryShown, ...]) -> Words:
    """The words of the delivery that decides the event's state: they name the system that it is about."""
    deciding = (
        each.words for each in deliveries if (each.row.state, each.row.code) == (event.state, event.code)
    )
    return next(deciding, None) or reason(event.state, event.code)
