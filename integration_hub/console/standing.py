"""Where the deliveries of an event stand: who holds them, what they wait for, what they may still do.

Everything is read from the database, by its clock; what a process believes is not asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integration_hub.console.protection import breaker_sentence
from integration_hub.console.wording import ahead, moment
from sync.breaker_status import Passing, spared
from sync.breaking import ENOUGH
from sync.claiming import SUSPECT
from sync.clock import read_clock
from sync.models import OPEN_STATES, WAITING, Connection, Delivery, Route
from webhooks.codes import CATALOGUE, Words
from webhooks.models import Source, State

Sentence = str | SafeString

MOST_AHEAD = 200
OVERDUE = timedelta(seconds=30)


def gone() -> Words:
    """Of a delivery whose claim ended."""
    return Words(
        _("Its process may be gone"),
        _("The claim of the process that ran it has ended and was not renewed."),
        _(
            "Nothing to do: the hub frees it by itself and reads both systems afresh. If it stays, see that a worker "
            "runs."
        ),
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """One delivery at one moment. `waits`: what keeps it from running, empty where nothing does.

    `next_at`: not before; None where no try is ahead. `may_still`: the tries that are left, of an open one.
    """

    is_gone: bool
    waits: tuple[Sentence, ...]
    next_at: datetime | None
    next_try: str
    may_still: Sentence
    fault: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else bears on these deliveries: the slots taken, by connection, and open deliveries of the same entity."""

    clock: datetime
    used: Mapping[int, int]
    rivals: Sequence[Delivery]


def surroundings(deliveries: Sequence[Delivery]) -> Surroundings:
    """Three statements where something waits, and the clock; of one event, with both connections and breakers."""
    waiting = [each for each in deliveries if each.state in WAITING]
    return surroundings_of(deliveries, _rivals(waiting[0]) if waiting else ())


def surroundings_of(deliveries: Sequence[Delivery], rivals: Sequence[Delivery]) -> Surroundings:
    """The same where the open deliveries of the entity are known."""
    clock = read_clock()
    waiting = [each for each in deliveries if each.state in WAITING]
    if not waiting:
        return Surroundings(clock, {}, ())
    used = {
        **_used("identity", {each.identity_id for each in waiting}),
        **_used("commercial", {each.commercial_id for each in waiting}),
    }
    return Surroundings(clock, used, rivals)


def _used(side: str, connections: set[int]) -> dict[int, int]:
    running = Delivery.objects.running().filter(**{f"{side}__in": connections})
    return dict(running.order_by().values_list(side).annotate(Count(f"{side}_slot")))


def _rivals(delivery: Delivery) -> list[Delivery]:
    """Open deliveries of other events about the same entity."""
    same = Delivery.objects.open().filter(entity_id=delivery.entity_id, entity_type=delivery.entity_type)
    others = same.exclude(event=delivery.event_id).exclude(state=State.HELD)
    return list(others.select_related("event").order_by("pk")[:MOST_AHEAD])


def standing(row: Delivery, around: Surroundings) -> Standing:
    """Where a delivery stands, as far as the database knows."""
    is_waiting = row.state in WAITING
    next_at = _next_at(row, around.clock) if is_waiting else None
    return Standing(
        is_gone=_is_gone(row, around.clock),
        waits=tuple(_waits(row, around)) if is_waiting else (),
        next_at=next_at,
        next_try=ahead(next_at, around.clock),
        may_still=_may_still(row) if row.state in OPEN_STATES and row.state != State.HELD else "",
        fault=_fault(row),
    )


def _is_gone(row: Delivery, clock: datetime) -> bool:
    return row.state == State.RUNNING and row.lease_until is not None and row.lease_until <= clock


def is_paused(row: Delivery) -> bool:
    """Whether it waits until somebody lets its source or its route go on."""
    is_undue = row.state in WAITING and row.due_at is None
    return is_undue and any(each.paused_at is not None for each in (row.event.source, row.route))


def _next_at(row: Delivery, clock: datetime) -> datetime | None:
    """When it is due, and no connection of its is paused any more."""
    pauses = [spared(each, clock) for each in (row.identity, row.commercial)]
    ends = [each.until for each in pauses if each.passing is Passing.NOTHING and each.until is not None]
    return None if row.due_at is None else max(row.due_at, *ends, row.due_at)


def _waits(row: Delivery, around: Surroundings) -> Iterator[Sentence]:
    """In the order in which a claim would find out; see `sync.claiming`."""
    reasons: list[Sentence] = [*_dangers(row), *_rivalry(row, around)]
    for connection in (row.identity, row.commercial):
        reasons += _closed_ways(connection, around)
    yield from reasons
    if not reasons and row.due_at is not None and row.due_at < around.clock - OVERDUE:
        told = _("Nothing holds it back, yet it has been due since {}: see that a worker runs.")
        yield format_html(told, moment(row.due_at))


def _dangers(row: Delivery) -> Iterator[Sentence]:
    if row.due_at is None:
        yield from _pauses(row.event.source, row.route)
    if row.deaths >= SUSPECT:
        told = _(
            "%(number)d processes died while they ran it: it runs next alone, in a process of its own that a worker "
            "starts."
        )
        yield told % {"number": row.deaths}


def _pauses(source: Source, route: Route) -> Iterator[Sentence]:
    for what, page, name in (
        (source, "webhooks_source_change", source.name),
        (route, "sync_route_change", _("The route")),
    ):
        if what.paused_at is not None:
            told = _(
                '<a href="{}">{}</a> is paused since {}, by {}: {}. It is kept until somebody lets it go on.'
            )
            link, by = reverse(f"admin:{page}", args=[what.pk]), what.paused_by or _("somebody")
            yield format_html(told, link, name, moment(what.paused_at), by, what.pause_reason)


def _rivalry(row: Delivery, around: Surroundings) -> Iterator[Sentence]:
    """What has to end before it: one of its subject that runs, and older ones where both are relayed."""
    for other in around.rivals:
        if (other.identity_id, other.commercial_id) != (row.identity_id, row.commercial_id):
            continue
        if other.state == State.RUNNING:
            told = _("Behind {} about the same entity, which is being delivered.")
            if _is_gone(other, around.clock):
                told = _("Behind {} about the same entity, whose process may be gone.")
            yield format_html(told, _link(other))
            return
        if row.is_relayed and other.is_relayed and other.pk < row.pk:
            yield format_html(_("Behind {}, which is older: what is relayed goes in order."), _link(other))
            return


def _link(other: Delivery) -> SafeString:
    page = reverse("admin:webhooks_event_change", args=[other.event_id])
    return format_html('<a href="{}">{}</a>', page, other.event.reference)


def _closed_ways(connection: Connection, around: Surroundings) -> Iterator[Sentence]:
    now, used = spared(connection, around.clock), around.used.get(connection.pk, 0)
    limit = now.limit(connection.concurrency)
    if now.passing is Passing.NOTHING:
        sentence = breaker_sentence(connection, around.clock)
        yield format_html(_("{} is {}. No try is spent meanwhile."), connection.name, sentence)
    elif limit is not None and used >= limit:
        told = _("%(name)s has as many deliveries as may run at once: %(used)s of %(limit)s.")
        if now.passing is Passing.PROBES:
            told = _(
                "%(name)s has as many deliveries as may run at once while it is tried again (%(successes)d of "
                "%(enough)d successes): %(used)s of %(limit)s."
            )
        numbers = {"used": f"{used:,}", "limit": f"{limit:,}", "successes": now.successes, "enough": ENOUGH}
        yield told % {"name": connection.name, **numbers}
    if not connection.is_enabled:
        told = _("%(name)s is switched off: a try fails until an administrator switches it on.")
        yield told % {"name": connection.name}


def _may_still(row: Delivery) -> Sentence:
    left = max(0, row.route.tries - row.tries)
    more = _("no further try")
    if left:
        more = ngettext("%(number)d more try", "%(number)d more tries", left) % {"number": left}
    if not left:
        return more
    end = row.opened_at + timedelta(hours=row.route.gives_up_after_hours)
    return format_html(_("{}, none after {}"), more, moment(end))


def _fault(row: Delivery) -> str:
    """Whose it is that it failed; empty where nothing failed, or it was taken up again."""
    code = CATALOGUE.get(row.code)
    if code is None or row.state not in (State.RETRYING, State.DEAD):
        return ""
    owners = {"sender": _("the sending system"), "identity": row.identity.name, "target": row.commercial.name}
    return {**owners, "hub": _("this hub")}.get(code.owner, "")
