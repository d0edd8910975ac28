"""How a connection is protected at this moment, in words: its breaker, how many deliveries it has, how fast it goes."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integration_hub.console.wording import ahead, code_words, moment
from sync.breaking import ENOUGH
from sync.clock import database_now
from sync.models import Breaker, Connection, Delivery
from webhooks.models import State


class Passing(Enum):
    """What the breaker of a connection lets through: everything, nothing, or probes."""

    EVERYTHING = "good"
    NOTHING = "bad"
    PROBES = "warn"


@dataclass(frozen=True, slots=True)
class Spared:
    """The breaker of a connection at one moment of the database's clock. `until` is None while it is closed."""

    passing: Passing
    until: datetime | None
    successes: int = 0

    def limit(self, concurrency: int | None) -> int | None:
        """How many deliveries may run at once now; None for any number."""
        if self.passing is Passing.NOTHING:
            return 0
        probes = 1 + self.successes if self.passing is Passing.PROBES else None
        return min((each for each in (concurrency, probes) if each is not None), default=None)


def breaker_of(connection: Connection) -> Breaker | None:
    """Its row; select `breaker` with the connection for many."""
    found: Breaker | None = getattr(connection, "breaker", None)
    return found


def spared(connection: Connection, clock: datetime) -> Spared:
    """What passes at this moment."""
    breaker = breaker_of(connection)
    if breaker is None or breaker.open_until is None:
        return Spared(Passing.EVERYTHING, None)
    passing = Passing.NOTHING if breaker.open_until > clock else Passing.PROBES
    return Spared(passing, breaker.open_until, breaker.successes)


def breaker_sentence(connection: Connection, clock: datetime) -> str | SafeString:
    """`working`, `paused until …, after 5 failures: …`, or `trying again: 3 of 8 successes`."""
    breaker, now = breaker_of(connection), spared(connection, clock)
    if breaker is None or now.until is None:
        return _working(breaker, connection)
    if now.passing is Passing.PROBES:
        told = _("trying again: %(successes)d of %(enough)d successes")
        return told % {"successes": breaker.successes, "enough": ENOUGH}
    title = code_words(breaker.code, connection.name).title
    when = (moment(now.until), ahead(now.until, clock), _failures(breaker.failures), title)
    if breaker.openings > 1:
        told = _("paused until {} ({}) after {}: {}; {} pauses in a row")
        return format_html(told, *when, breaker.openings)
    return format_html(_("paused until {} ({}) after {}: {}"), *when)


def _working(breaker: Breaker | None, connection: Connection) -> str:
    if breaker is None or not breaker.failures:
        return _("working")
    told = _("working; %(failures)s in a row, %(limit)d pause it")
    return told % {"failures": _failures(breaker.failures), "limit": connection.breaker_failures}


def _failures(number: int) -> str:
    return ngettext("%(number)s failure", "%(number)s failures", number) % {"number": f"{number:,}"}


def measured(connections: QuerySet[Connection]) -> QuerySet[Any]:
    """Each with its breaker, the database's `clock`, and how many deliveries are `running`: one statement for all."""
    either = Q(identity=OuterRef("pk")) | Q(commercial=OuterRef("pk"))
    running = Delivery.objects.filter(either, state=State.RUNNING).order_by().values("state")
    counted = running.annotate(number=Count("pk")).values("number")
    rows: Any = connections.select_related("breaker")
    return rows.annotate(clock=database_now(), running=Coalesce(Subquery(counted), 0))  # type: ignore[no-any-return]


def at_once(connection: Any) -> str:
    """Of a measured connection: how many deliveries it has at once, of how many."""
    limit = spared(connection, connection.clock).limit(connection.concurrency)
    if limit == 0:
        told = _("%(running)s running now; no more while it is paused")
    elif limit is None:
        told = _("%(running)s running now; no limit")
    else:
        told = _("%(running)s running now; at most %(limit)s")
    return told % {"running": f"{connection.running:,}", "limit": f"{limit or 0:,}"}


def rate(connection: Connection) -> str:
    """The most requests a second."""
    limit = connection.requests_per_second
    return _("no limit") if limit is None else f"{limit:,g}"
