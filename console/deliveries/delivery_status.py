"""Describe the status of an event's deliveries in words: what blocks them, and how many attempts are left."""

from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from config_schema.codes.codes import CodeTexts
from console.ui.formatting import render_time, time_until
from console.ui.outcome_texts import describe_code
from sync.deliveries.blockers import (
    AllSlotsTaken,
    BlockedByDelivery,
    Blocker,
    BreakerOpen,
    DeliveryContention,
    DisabledConnection,
    NeedsIsolation,
    OrderReason,
    OverdueDelivery,
    PausedByPerson,
    count_attempts_left,
    find_blockers,
    is_claim_expired,
    next_attempt_at,
    responsible_owner,
)
from sync.limits.breaker_status import BreakerMode, breaker_of
from sync.limits.circuit_breaker import SUCCESSES_TO_CLOSE
from sync.models import Connection, Delivery
from webhooks.models import Source

Sentence = str | SafeString


def expired_claim_words() -> CodeTexts:
    return CodeTexts(
        _("The worker may have stopped"),
        _("The worker that ran this delivery did not renew its lease."),
        _(
            "Nothing to do: the hub releases the delivery automatically and reads both systems "
            "again. If this does not change, check that a worker is running."
        ),
    )


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """The status of one delivery at one moment.

    `blocker_sentences` are the reasons that it does not run; empty if there are none. `next_at` is the time of the next
    attempt; None if none is planned. `attempts_left_text` says how many attempts an open delivery has left.
    """

    is_claim_expired: bool
    blocker_sentences: tuple[Sentence, ...]
    next_at: datetime | None
    next_try: str
    attempts_left_text: Sentence
    responsible_system: str


def describe_status(row: Delivery, around: DeliveryContention) -> DeliveryStatus:
    """Return the status of a delivery as far as the database knows it."""
    next_at = next_attempt_at(row, around.clock)
    return DeliveryStatus(
        is_claim_expired=is_claim_expired(row, around.clock),
        blocker_sentences=tuple(
            _blocker_sentence(blocker, around.clock) for blocker in find_blockers(row, around)
        ),
        next_at=next_at,
        next_try=time_until(next_at, around.clock),
        attempts_left_text=_attempts_left_text(row),
        responsible_system=_responsible_system(row),
    )


def _blocker_sentence(blocker: Blocker, clock: datetime) -> Sentence:
    match blocker:
        case PausedByPerson():
            return _pause_sentence(blocker)
        case NeedsIsolation(number):
            text = _(
                "%(number)d workers crashed while they ran this delivery. It runs next in a separate process."
            )
            return text % {"number": number}
        case BlockedByDelivery(other, reason):
            return format_html(_behind_sentence(reason), _event_link(other))
        case OverdueDelivery(since):
            text = _(
                "Nothing blocks this delivery, but it has been due since {}. Check that a worker is running."
            )
            return format_html(text, render_time(since))
        case BreakerOpen() | AllSlotsTaken() | DisabledConnection():
            return _connection_sentence(blocker, clock)


def _connection_sentence(
    blocker: BreakerOpen | AllSlotsTaken | DisabledConnection, clock: datetime
) -> Sentence:
    match blocker:
        case BreakerOpen(connection):
            return _open_breaker_sentence(connection, clock)
        case AllSlotsTaken():
            return _no_free_slot_sentence(blocker)
        case DisabledConnection(connection):
            text = _("%(name)s is disabled: attempts fail until an administrator enables it.")
            return text % {"name": connection.name}


def _open_breaker_sentence(connection: Connection, clock: datetime) -> SafeString:
    breaker = breaker_of(connection)
    assert breaker is not None, "it is open"
    assert breaker.open_until is not None, "it is open"
    errors = ngettext("%(number)s error", "%(number)s errors", breaker.failures)
    values = (
        connection.name,
        errors % {"number": f"{breaker.failures:,}"},
        describe_code(breaker.code, connection.name).title,
        render_time(breaker.opened_at),
        render_time(breaker.open_until),
        time_until(breaker.open_until, clock),
    )
    text = _("{} is failing: {} ({}) since {}; next check at {} ({}). No retries are used in the meantime.")
    return format_html(text, *values)


def _pause_sentence(blocker: PausedByPerson) -> SafeString:
    paused = blocker.setting
    page, name = ("sync_route_change", _("The route"))
    if isinstance(paused, Source):
        page, name = ("webhooks_source_change", paused.name)
    elif isinstance(paused, Connection):
        page, name = ("sync_connection_change", paused.name)
    text = _('<a href="{}">{}</a> was paused {} by {}: {}. The delivery waits until it is resumed there.')
    link, by = reverse(f"admin:{page}", args=[paused.pk]), paused.paused_by or _("a deleted user")
    return format_html(text, link, name, render_time(paused.paused_at), by, paused.pause_reason)


def _behind_sentence(reason: OrderReason) -> str:
    return {
        OrderReason.RUNS: _("Queued behind {} for the same entity, which is being delivered."),
        OrderReason.CLAIM_EXPIRED: _("Queued behind {} for the same entity, whose worker may have stopped."),
        OrderReason.IS_OLDER: _("Queued behind {}, which is older: relayed webhooks are delivered in order."),
    }[reason]


def _event_link(other: Delivery) -> SafeString:
    page = reverse("admin:webhooks_event_change", args=[other.event_id])
    return format_html('<a href="{}">{}</a>', page, other.event.reference)


def _no_free_slot_sentence(blocker: AllSlotsTaken) -> str:
    text = _("%(name)s has reached its concurrency limit: %(used)s of %(limit)s deliveries running.")
    if blocker.breaker.mode is BreakerMode.PROBES:
        text = _(
            "%(name)s is recovering (%(successes)d of %(enough)d test deliveries succeeded) and has "
            "reached its concurrency limit: %(used)s of %(limit)s deliveries running."
        )
    return text % {
        "name": blocker.connection.name,
        "used": f"{blocker.used:,}",
        "limit": f"{blocker.limit:,}",
        "successes": blocker.breaker.successes,
        "enough": SUCCESSES_TO_CLOSE,
    }


def _attempts_left_text(row: Delivery) -> Sentence:
    left = count_attempts_left(row)
    if left is None:
        return ""
    more = _("no attempts left")
    if left.number:
        more = ngettext("%(number)d attempt left", "%(number)d attempts left", left.number) % {
            "number": left.number
        }
    return more if left.until is None else format_html(_("{}, until {}"), more, render_time(left.until))


def _responsible_system(row: Delivery) -> str:
    """Return the name of the system that must act on a failure; empty if nothing failed, or the delivery is open
    again.
    """
    owner = responsible_owner(row)
    owners = {"sender": _("the sender"), "identity": row.identity.name, "target": row.target.name}
    return {**owners, "hub": _("the hub")}.get(owner or "", "")
