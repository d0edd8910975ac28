"""What the page of an identity connection, and the overview, show of its catch-ups."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from config_schema.codes.codes import CATALOGUE
from console.ui.formatting import render_minute
from console.ui.outcome_texts import describe_code, render_pill
from sync.models import CatchUp, CatchUpFailure, Connection
from sync.monitoring.conditions import MAX_CATCH_UP_DELAY

MAX_SHOWN = 20


@dataclass(frozen=True, slots=True)
class CatchUpLine:
    """One entity type of a connection: how it is doing, when it was and is read, and what the newest run found.

    `waiting`: a sentence about changes that later runs deliver, and `failure` one about the failure; both may be empty.
    """

    connection: Connection
    entity_type: str
    pill: SafeString
    last: str | SafeString
    next: str | SafeString
    found: str
    waiting: str
    failure: str
    failing_since: str | SafeString


def load_catch_ups(connection: Connection) -> list[CatchUpLine]:
    """Load the catch-ups of a connection, by entity type: one statement, none if it is not caught up with."""
    if connection.catch_up_minutes is None:
        return []
    rows = CatchUp.objects.filter(identity=connection).annotate(waiting=Count("entities"))
    return [_describe(row, connection) for row in rows.select_related("identity").order_by("entity_type")]


def load_all_catch_ups(connections: Iterable[Connection]) -> list[CatchUpLine]:
    """Load the catch-ups of these connections, at most MAX_SHOWN, those that fail first: one statement, none if no
    connection is caught up with. `connections` are annotated with the database's time as `clock`.
    """
    caught_up = {one.pk: one for one in connections if one.catch_up_minutes is not None}
    if not caught_up:
        return []
    rows = CatchUp.objects.filter(identity__in=list(caught_up)).order_by(
        F("failing_since").asc(nulls_last=True), "identity__name", "entity_type"
    )[:MAX_SHOWN]
    lines = []
    for row in rows:
        row.identity = caught_up[row.identity_id]
        lines.append(_describe(row, row.identity))
    return lines


def _describe(row: CatchUp, connection: Connection) -> CatchUpLine:
    waiting: int = getattr(row, "waiting", 0)
    # Annotated by the pages that show it.
    now = getattr(connection, "clock", None) or timezone.now()
    return CatchUpLine(
        connection,
        row.entity_type,
        _render_pill(row, now),
        render_minute(row.began_at, now) if row.began_at else _("never"),
        _("running") if row.is_running else render_minute(row.next_at, now),
        _found_text(row),
        ngettext(
            "%(number)s change waits for a later run.", "%(number)s changes wait for later runs.", waiting
        )
        % {"number": f"{waiting:,}"}
        if waiting
        else "",
        _failure_text(row.failure, connection) if row.failing_since else "",
        render_minute(row.failing_since, now) if row.failing_since else "",
    )


def _render_pill(row: CatchUp, now: datetime) -> SafeString:
    if now - row.late_at > MAX_CATCH_UP_DELAY:
        return render_pill("bad", "✕", _("Late"))
    if row.failing_since is not None:
        return render_pill("warn", "!", _("Failing"))
    if row.read_at is None:
        return render_pill("quiet", "○", _("Not read yet"))
    return render_pill("good", "✓", _("Up to date"))


def _found_text(row: CatchUp) -> str:
    if row.began_at is None:
        return "–"
    values = {"listed": f"{row.listed:,}", "made": f"{row.made:,}", "skipped": f"{row.skipped:,}"}
    return _("%(listed)s listed, %(skipped)s already fetched, %(made)s events") % values


def _failure_text(code: str, connection: Connection) -> str:
    if code in CATALOGUE:
        return str(describe_code(code, connection.name).title)
    return str(dict(CatchUpFailure.choices).get(code, code))
