"""Request, find and cancel comparisons of a pair: identity connection, entity type, target connection and mapping."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from audit.entries.acting_person import ActingPerson
from audit.entries.append import SYSTEM, NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from connectors.settings.identity import EntitySettings
from database.clock import read_clock
from sync.jobs.submission import cancel_job, submit_job
from sync.mappings.target_settings import read_entity_settings
from sync.models import (
    OPEN_COMPARISON_STATES,
    Comparison,
    ComparisonCause,
    ComparisonState,
    Connection,
    Route,
)

KIND = "comparison"


class ComparisonRefused(ValueError):
    """The comparison was not requested; the message is for the person who asked. `open`: the one that is open."""

    def __init__(self, sentence: str, open_one: Comparison | None = None) -> None:
        super().__init__(sentence)
        self.open = open_one


@dataclass(frozen=True, slots=True)
class Pair:
    """What is compared. Routes of several sources may share it."""

    identity_id: int
    entity_type: str
    target_id: int
    mapping_id: int

    def as_filter(self) -> dict[str, Any]:
        """Return the conditions that select the comparisons, or the routes, of the pair."""
        return {
            "identity": self.identity_id,
            "entity_type": self.entity_type,
            "target": self.target_id,
            "mapping": self.mapping_id,
        }


def pair_of(subject: Route | Comparison) -> Pair:
    """Return the pair of a route or of a comparison."""
    return Pair(subject.identity_id, subject.entity_type, subject.target_id, subject.mapping_id)


def comparisons_of(pair: Pair) -> QuerySet[Comparison]:
    """Return all comparisons of a pair, newest first."""
    return Comparison.objects.filter(**pair.as_filter()).order_by("-pk")


def latest_comparison(route: Route) -> Comparison | None:
    """Return the newest comparison of the route's pair that reached its end; None if none did."""
    return comparisons_of(pair_of(route)).filter(state=ComparisonState.DONE).first()


def open_comparison(route: Route) -> Comparison | None:
    """Return the comparison of the route's pair that waits or runs; None if there is none."""
    return comparisons_of(pair_of(route)).filter(state__in=OPEN_COMPARISON_STATES).first()


def routes_of_pair(comparison: Comparison) -> list[Route]:
    """Return the routes of all sources that share the pair and do not relay, oldest first."""
    routes = Route.objects.filter(**pair_of(comparison).as_filter(), relays=False)
    return list(routes.select_related("source", "identity", "target", "mapping").order_by("pk"))


def find_refusal(route: Route) -> str:
    """Return why the pair of a route cannot be compared, in one sentence for people; empty if it can be.

    One that is open is no reason here.
    """
    if route.relays:
        return _("This route uses the webhook's own data, so there is nothing to compare its records with.")
    if not route.mapping.versions.exists():
        return _("The mapping of this route has no active version yet.")
    for connection in (route.identity, route.target):
        if not connection.is_enabled:
            return _("The connection %(connection)s is disabled.") % {"connection": connection}
    return _find_missing_setting(route)


def _find_missing_setting(route: Route) -> str:
    entities = read_entity_settings(route.identity, route.identity_type)
    if not isinstance(entities, EntitySettings) or entities.list is None:
        return _missing_setting(
            _("The settings of %(connection)s have no list of %(type)s."), route.identity, route.identity_type
        )
    if read_entity_settings(route.target, route.target_type) is None:
        return _missing_setting(
            _("The settings of %(connection)s lack %(type)s."), route.target, route.target_type
        )
    return ""


def _missing_setting(sentence: str, connection: Connection, entity_type: str) -> str:
    return sentence % {"connection": connection, "type": entity_type}


def request_comparison(
    route: Route, *, cause: ComparisonCause, by: AbstractBaseUser | None = None, address: str = ""
) -> Comparison:
    """Let a worker compare the pair of a route, with the policies of this route. One transaction.

    Raises ComparisonRefused if the route relays, has no mapping version, a connection of it is disabled or lacks a
    setting that is needed, or a comparison of the pair is open (`.open`).
    """
    if sentence := find_refusal(route):
        raise ComparisonRefused(sentence)
    try:
        with transaction.atomic():
            return _store_request(route, cause, by, address)
    except IntegrityError:
        # The database allows one open comparison of a pair.
        running = open_comparison(route)
        if running is None:
            raise
    raise ComparisonRefused(_("A comparison of these two systems is already open."), running)


def _store_request(
    route: Route, cause: ComparisonCause, by: AbstractBaseUser | None, address: str
) -> Comparison:
    comparison = Comparison(route=route, cause=cause, requested_at=read_clock(), **_pair_values(route))
    comparison.requested_by_id = None if by is None else by.pk
    comparison.save(force_insert=True)
    submit_job(KIND, comparison.pk)
    details = {"cause": str(cause), "source": route.source.slug, "route": route.slug, **_pair_details(route)}
    _append_entry(comparison, "comparison.requested", by, address, details)
    return comparison


def _pair_values(route: Route) -> dict[str, Any]:
    return {
        "identity": route.identity,
        "entity_type": route.entity_type,
        "target": route.target,
        "mapping": route.mapping,
    }


def _pair_details(route: Route) -> dict[str, JSONValue]:
    return {
        "identity": route.identity.slug,
        "entity_type": route.entity_type,
        "target": route.target.slug,
        "mapping": route.mapping_id,
    }


def cancel_comparison(comparison: Comparison, *, by: AbstractBaseUser | None, address: str = "") -> bool:
    """End a comparison that waits or runs; what it found is deleted. Returns False if it has ended already.

    `by`: None on the command line.
    """
    with transaction.atomic():
        rows = Comparison.objects.filter(pk=comparison.pk, state__in=OPEN_COMPARISON_STATES)
        if not rows.update(state=ComparisonState.CANCELLED, ended_at=read_clock()):
            return False
        cancel_job(KIND, comparison.pk)
        _append_entry(comparison, "comparison.cancelled", by, address, {})
    return True


def _append_entry(
    comparison: Comparison,
    action: str,
    by: AbstractBaseUser | None,
    address: str,
    details: dict[str, JSONValue],
) -> None:
    if by is None:
        append_entries(NewEntry(comparison.stream, action, SYSTEM, details))
        return
    person = ActingPerson(by, address)
    append_entries(NewEntry(comparison.stream, action, person.actor, {**details, "address": address}))
