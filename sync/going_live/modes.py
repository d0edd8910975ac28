"""Let a route that observes go live, and back. Each is one act of a person, with a reason and an entry.

Observed events are not delivered later: the comparison that the person has seen covers those before it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _

from audit.entries.acting_person import ActingPerson
from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from audit.format.signed_records import format_time
from database.clock import read_clock
from sync.comparisons.requests import latest_comparison
from sync.deliveries.event_state import refresh_event_states
from sync.deliveries.routes import resolved_routes
from sync.mappings.drafts import current_version
from sync.models import ACTIVE_STATES, Comparison, Delivery, Route
from sync.pairs.drafts import end_created_draft

# A comparison that ended earlier says too little about now.
MAX_AGE = timedelta(hours=24)
_MAX_REASON = 500
# Events beyond it get their state when their next attempt ends.
_MAX_REFRESHED = 500


class ModeChangeRefused(ValueError):
    """The mode was not changed; the message is for the person who asked."""


class ComparisonOutdated(ModeChangeRefused):
    """The newest comparison is no evidence any more: the two systems have to be compared again."""


def no_comparison_sentence() -> str:
    """Return what a person types to go live without a comparison."""
    return _("There is no comparison")


def find_outdated(comparison: Comparison, now: datetime) -> str:
    """Return why a comparison that reached its end is no evidence for going live, as a sentence; empty if it is."""
    if comparison.ended_at is None or comparison.ended_at <= now - MAX_AGE:
        return _("The comparison is older than 24 hours.")
    version = current_version(comparison.mapping)
    if version is None or version.pk != comparison.mapping_version_id:
        return _("The mapping has changed since the comparison.")
    return ""


def go_live(
    route: Route,
    *,
    by: AbstractBaseUser,
    reason: str,
    comparison: UUID | None = None,
    sentence: str = "",
    seen: datetime | None = None,
    address: str = "",
) -> Route:
    """Let a route write to its target from now on, in one commit with the entry that has the numbers.

    `comparison`: the one whose numbers the person has seen. Without one, `sentence` has to say so. `seen`: the
    `mode_since` of the route when they saw them, so that a form that is sent again changes nothing later.

    Raises ModeChangeRefused without a reason, if the route is live already or was changed meanwhile, if a newer
    comparison has ended, or if there is one and the person typed that there is none; ComparisonOutdated if it ended
    more than 24 hours ago or used another version of the mapping.
    """
    reason, now = _required_reason(reason), read_clock()
    newest = None if route.relays else latest_comparison(route)
    if comparison is None:
        facts = _without_comparison(newest, sentence, now)
    else:
        facts = _numbers_of(_require_evidence(newest, comparison, now))
    _set_mode(route, Route.Mode.LIVE, seen, now, _entry(route, "route.went-live", by, reason, address, facts))
    return route


def observe_again(
    route: Route,
    *,
    by: AbstractBaseUser,
    reason: str,
    seen: datetime | None = None,
    address: str = "",
) -> Route:
    """Let a route only observe from now on, in one commit with its entry. Attempts that run end as they began.

    Raises ModeChangeRefused without a reason, and if the route observes already or was changed since `seen`.
    """
    entry = _entry(route, "route.mode", by, _required_reason(reason), address, {})
    _set_mode(route, Route.Mode.OBSERVE, seen, read_clock(), entry)
    return route


def _required_reason(reason: str) -> str:
    normal = " ".join(reason.split())
    if not normal:
        raise ModeChangeRefused(_("Enter a reason. It is stored in the audit log."))
    return normal[:_MAX_REASON]


def _require_evidence(newest: Comparison | None, seen: UUID, now: datetime) -> Comparison:
    if newest is None or newest.uuid != seen:
        raise ModeChangeRefused(_("There is a newer comparison. Check its numbers first."))
    if sentence := find_outdated(newest, now):
        raise ComparisonOutdated(sentence)
    return newest


def _without_comparison(newest: Comparison | None, typed: str, now: datetime) -> Mapping[str, JSONValue]:
    if newest is not None and not find_outdated(newest, now):
        raise ModeChangeRefused(_("There is a comparison. Check its numbers first."))
    wanted = no_comparison_sentence()
    if " ".join(typed.split()).rstrip(".").casefold() != wanted.casefold():
        raise ModeChangeRefused(
            _("Type “%(sentence)s”, or compare the two systems first.") % {"sentence": wanted}
        )
    return {"comparison": None, "confirmed": wanted}


def _numbers_of(comparison: Comparison) -> Mapping[str, JSONValue]:
    assert comparison.ended_at is not None, "only one that has ended is evidence"
    return {
        "comparison": str(comparison.uuid),
        "compared_at": format_time(comparison.ended_at),
        "counts": {str(kind): number for kind, number in comparison.counts.items()},
        "unconfirmed": {str(kind): number for kind, number in comparison.unconfirmed.items()},
        "identity_gap": comparison.identity_gap,
        "target_gap": comparison.target_gap,
    }


def _entry(
    route: Route,
    action: str,
    by: AbstractBaseUser,
    reason: str,
    address: str,
    facts: Mapping[str, JSONValue],
) -> NewEntry:
    return NewEntry(
        route.stream, action, ActingPerson(by, address).actor, {"reason": reason, **facts, "address": address}
    )


def _set_mode(route: Route, mode: Route.Mode, seen: datetime | None, now: datetime, entry: NewEntry) -> None:
    before = {Route.Mode.LIVE: Route.Mode.OBSERVE, Route.Mode.OBSERVE: Route.Mode.LIVE}[mode]
    with transaction.atomic():
        # Conditional: of two clicks, the database accepts one.
        rows = Route.objects.filter(pk=route.pk, mode=before, mode_since=seen)
        if not rows.update(mode=mode, mode_since=now):
            raise ModeChangeRefused(
                _("The mode of the route was changed in the meantime. Nothing was changed.")
            )
        if mode == Route.Mode.LIVE:
            end_created_draft(route)
        # What observes decides nothing about an event beside another delivery; what writes does.
        active = Delivery.objects.open().filter(route=route, state__in=ACTIVE_STATES).order_by("-pk")
        refresh_event_states(active.values_list("event_id", flat=True)[:_MAX_REFRESHED])
        details = {"before": {"mode": str(before)}, "after": {"mode": str(mode)}, **(entry.details or {})}
        append_entries(NewEntry(entry.stream, entry.action, entry.actor, details))
    route.mode, route.mode_since = mode, now
    resolved_routes.invalidate()
