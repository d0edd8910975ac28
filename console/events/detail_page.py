"""Load everything about one event for its page, in a bounded number of statements and rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from config_schema.codes.codes import CodeTexts
from console.base.damaged_rows import load_rows, require_readable
from console.deliveries.delivery_status import DeliveryStatus, describe_status, expired_claim_words
from console.events.attempts import AttemptRow, attempts_by_delivery, system_name
from console.payloads.content import PayloadAbsence, PayloadContent, raw_content
from console.payloads.masking import ANSWER_KEYWORDS, WEBHOOK_KEYWORDS
from console.payloads.reveal import seconds_revealed
from console.permissions import CONTENTS
from console.ui.outcome_texts import (
    advise_after_cause,
    describe_code,
    explain_absent_entity,
    explain_left_out_fields,
    explain_outcome,
    explain_pause,
    is_replayable,
)
from sync.deliveries.blockers import is_paused_by_person, load_contention
from sync.deliveries.event_state import counted_state, find_deciding
from sync.models import Attempt, AwaitedRecord, Delivery, FailureGroup, PersonRequest
from sync.models.failure import group_of
from sync.operations.passed_causes import PassedCause, find_passed_causes
from sync.references.value_holders import find_given_up, load_holders
from webhooks.models import Event, EventOrigin, Receipt, State, is_erased
from webhooks.protocol.formats.webhook_format import EVENT_TYPES

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
    "target__breaker",
    "covered_by__delivery__event",
    "person_request__requested_by",
)


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    row: Receipt
    title: str
    answer: PayloadContent | None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery with its words. `passed`: the cause of its failure, if it has passed. `holders`: the entities whose
    records hold a value that the target refused to its record. `has_given_up_value`: its record has a temporary value.
    """

    row: Delivery
    words: CodeTexts
    status: DeliveryStatus
    attempts: tuple[AttemptRow, ...]
    passed: PassedCause | None
    holders: tuple[AwaitedRecord, ...] = ()
    has_given_up_value: bool = False

    @property
    def state(self) -> str:
        """Return the state; while a re-check waits or runs, the state from before it."""
        return counted_state(self.row)

    @property
    def running_attempt(self) -> Attempt | None:
        """Return the attempt that is running, if the person may see attempts."""
        return self.attempts[0].row if self.row.state == State.RUNNING and self.attempts else None

    @property
    def covering_attempt(self) -> Attempt | None:
        """Return the attempt of another delivery that also settled this one, if there is one."""
        covered_by = self.row.covered_by
        return covered_by if covered_by and covered_by.delivery_id != self.row.pk else None


@dataclass(frozen=True, slots=True)
class EventPage:
    """The content of the page. `may` names the parts that this person may see; `received` needs view_contents.

    `made_for`: the person's request that made the event, if it is no webhook.

    `state` and `code`: of the event, as the deliveries shown have them; a claim does not update the event's row.
    `deciding_delivery`: the delivery that decides the event's state; None if there is none, or the person may not
    see it.
    """

    event: Event
    state: str
    code: str
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
    made_for: PersonRequest | None = None

    @property
    def is_webhook(self) -> bool:
        """Return True if a source sent the event: else it has no request, no body and no sender."""
        return self.event.origin == EventOrigin.WEBHOOK

    @property
    def words(self) -> CodeTexts:
        """Return the diagnosis: the words of the deciding delivery, which name the system that they are about."""
        return (
            self.deciding_delivery.words if self.deciding_delivery else explain_outcome(self.state, self.code)
        )

    @property
    def last_refusal(self) -> AttemptRow | None:
        """Return the newest attempt of the failed delivery, if its messages are about the code of the delivery.

        A delivery that is replayed while its connection is paused has another code, without a new attempt.
        """
        delivery = self.deciding_delivery
        if delivery is None or self.state not in _FAILED or not delivery.attempts:
            return None
        attempt = delivery.attempts[0]
        return attempt if attempt.messages and attempt.row.code == delivery.row.code else None

    @property
    def replay_is_next(self) -> bool:
        """Return True if the event failed and a replay of it can succeed."""
        delivery = self.deciding_delivery
        has_passed = delivery is not None and delivery.passed is not None
        return self.state == State.DEAD and (is_replayable(self.code) or has_passed)

    @property
    def notice_style(self) -> str:
        return _NOTICE_STYLES.get(self.state, "quiet")

    @property
    def no_delivery_text(self) -> str:
        """Return why the event has no delivery, as far as the event itself shows it."""
        if self.code == "filtered":
            return _("None: the condition `when` of the webhook format excludes this event.")
        if self.event.event_type not in EVENT_TYPES:
            return _("None: the webhook format has no entry for %(word)s in `event_types`.") % {
                "word": self.event.event_type
            }
        return _("None: this source has no enabled route for %(type)s.") % {"type": self.event.entity_type}

    @property
    def similar_failures(self) -> int:
        """Return the number of other deliveries that are failed for the same reason."""
        return max(0, self.group.number - 1) if self.group else 0

    @property
    def replays(self) -> tuple[PersonRequest, ...]:
        """Return the replays of the attempts and deliveries shown, newest first."""
        replays = [delivery.row.person_request for delivery in self.deliveries]
        replays += [
            attempt.row.person_request for delivery in self.deliveries for attempt in delivery.attempts
        ]
        known = {replay.pk: replay for replay in replays if replay is not None}
        return tuple(known[pk] for pk in sorted(known, reverse=True))


def build_event_page(event: Event, request: HttpRequest) -> EventPage:
    """Load the page. Parts that the person may not see are not read."""
    may = _part_permissions(request)
    seconds = seconds_revealed(request, event) if may["contents"] else 0
    # Contents stay masked until the person reveals them, for a limited time.
    may["revealed"] = seconds > 0
    now, missing = timezone.now(), PayloadAbsence(event)
    deliveries = _delivery_rows(event, may, now, missing) if may["deliveries"] else ()
    receipts = _receipt_rows(event, may, missing, deliveries) if may["receipts"] else []
    deciding = _deciding_delivery(deliveries)
    is_webhook = event.origin == EventOrigin.WEBHOOK
    may_see_body = may["contents"] and is_webhook
    return EventPage(
        event=event,
        state=deciding.state if deciding else str(event.state),
        code=deciding.row.code if deciding else event.code,
        deciding_delivery=deciding,
        digest=bytes(event.digest).hex(),
        now=now,
        may=may,
        received=_received_content(event, missing, covered=not may["revealed"]) if may_see_body else None,
        receipts=tuple(receipts[:MAX_RECEIPTS]),
        has_more_receipts=len(receipts) > MAX_RECEIPTS,
        deliveries=deliveries,
        same_entity=_events_of_entity(event),
        group=_failure_group(deliveries) if may["groups"] else None,
        revealed_for=seconds,
        made_for=None if is_webhook else _request_of(event),
    )


def _request_of(event: Event) -> PersonRequest | None:
    """Return the request of a person that made an event."""
    if event.requested_by is None:
        return None
    return PersonRequest.objects.filter(pk=event.requested_by).select_related("requested_by").first()


def _events_of_entity(event: Event) -> tuple[Event, ...]:
    """Return the newest five other events of this entity, from any source."""
    rows = Event.objects.filter(entity_id=event.entity_id, entity_type=event.entity_type)
    newest = load_rows(rows.order_by("-received_at", "-pk")[: MAX_SAME_ENTITY + 1])
    return tuple(other for other in newest if other.pk != event.pk)[:MAX_SAME_ENTITY]


def _failure_group(deliveries: tuple[DeliveryRow, ...]) -> FailureGroup | None:
    dead = next((delivery.row for delivery in deliveries if delivery.state == State.DEAD), None)
    if dead is None:
        return None
    return group_of(dead)


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
    missing_text = "" if event.payload else missing.reason_text(event.received_at)
    return raw_content(event.payload, missing_text, is_masked=covered, shown=WEBHOOK_KEYWORDS)


def _receipt_rows(
    event: Event, may: dict[str, bool], missing: PayloadAbsence, deliveries: Sequence[DeliveryRow]
) -> list[ReceiptRow]:
    receipts = _load_receipts(event, with_answers=may["contents"])
    require_readable(receipts)
    return [
        ReceiptRow(
            row,
            describe_code(row.code, _system_of_code(row.code, deliveries)).title,
            _answer_content(row, missing, covered=not may["revealed"]) if may["contents"] else None,
        )
        for row in receipts
    ]


def _load_receipts(event: Event, *, with_answers: bool) -> list[Receipt]:
    """Return the newest requests of an event, and that of its batch. One statement with both conditions would read the
    whole table on SQLite.
    """
    rows = Receipt.objects.order_by("-id")
    rows = rows.select_related("answer__subject") if with_answers else rows
    found = list(rows.filter(event=event)[: MAX_RECEIPTS + 1])
    if event.batch_id is None:
        return found
    batch = rows.filter(pk=event.batch_id)
    return sorted({*found, *batch}, key=lambda receipt: receipt.pk, reverse=True)


def _system_of_code(code: str, deliveries: Sequence[DeliveryRow]) -> str:
    """Return the name of the system that a code is about; empty if it can be one of several."""
    names = {system_name(delivery.row, code) for delivery in deliveries}
    return names.pop() if len(names) == 1 else ""


def _answer_content(row: Receipt, missing: PayloadAbsence, *, covered: bool) -> PayloadContent:
    missing_text = "" if row.answer else missing.reason_text(row.answered_at or row.received_at)
    return raw_content(row.answer, missing_text, is_masked=covered, shown=ANSWER_KEYWORDS)


def _delivery_rows(
    event: Event, may: dict[str, bool], now: datetime, missing: PayloadAbsence
) -> tuple[DeliveryRow, ...]:
    rows = list(event.deliveries.select_related(*_RELATED).order_by("id"))
    require_readable(rows)
    attempts = attempts_by_delivery(rows, may, now, missing) if may["attempts"] else {}
    around = load_contention(rows)
    shown = ((row, describe_status(row, around), tuple(attempts.get(row.pk, ()))) for row in rows)
    passed = find_passed_causes(rows)
    failed = [row for row in rows if counted_state(row) == State.DEAD]
    holders, given_up = load_holders(failed), find_given_up(failed)
    return tuple(
        DeliveryRow(
            row,
            advise_after_cause(_delivery_words(row, status, attempts), passed.get(row.pk)),
            status,
            attempts,
            passed.get(row.pk),
            tuple(holders.get(row.pk, ())),
            row.pk in given_up,
        )
        for row, status, attempts in shown
    )


def _delivery_words(row: Delivery, status: DeliveryStatus, attempts: Sequence[AttemptRow]) -> CodeTexts:
    if status.is_claim_expired:
        return expired_claim_words()
    state = counted_state(row)
    if state == State.UNCHANGED and attempts and attempts[0].found_nothing and not is_erased(row.entity_id):
        return explain_absent_entity(
            row.identity.name, row.target.name, is_left_alone=row.route.ignores_deletion
        )
    if state == State.UNCHANGED and attempts and (fields := attempts[0].left_out_fields):
        return explain_left_out_fields(row.target.name, fields)
    return (
        explain_pause(is_observing=row.is_observing)
        if is_paused_by_person(row)
        else explain_outcome(state, row.code, system_name(row, row.code), is_observing=row.is_observing)
    )


def _deciding_delivery(deliveries: Sequence[DeliveryRow]) -> DeliveryRow | None:
    """Return the delivery that decides the state of the event."""
    deciding = find_deciding([delivery.row for delivery in deliveries])
    return next((delivery for delivery in deliveries if delivery.row is deciding), None)
