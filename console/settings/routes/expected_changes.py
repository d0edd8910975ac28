"""What a route that observes would do, in words: by its newest comparison, and by the events that it has observed."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sync.comparisons.requests import find_refusal, latest_comparison, open_comparison
from sync.going_live.modes import find_outdated
from sync.going_live.observed_changes import MAX_EVENTS, ObservedChanges, read_observed_changes
from sync.models import Comparison, ComparisonCount, DifferenceKind, Route

MAX_FIELDS = 20
# Label and description, the kinds that a comparison counts of it, and the number of observed events.
_Effect = tuple[str, str, tuple[str, ...], int]


@dataclass(frozen=True, slots=True)
class ExpectedRow:
    """One thing that the route would do. `compared` and `observed` are counts, empty if they are not known. `url`: the
    rows of the comparison.
    """

    label: str
    text: str
    compared: str
    observed: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class ExpectedChanges:
    """What a route would do. `outdated`: why the comparison is no evidence for going live; empty if it is. `refusal`:
    why the two systems cannot be compared. `fields`: names of the fields that would be updated, with both counts.
    """

    route: Route
    comparison: Comparison | None
    running: Comparison | None
    outdated: str
    refusal: str
    rows: tuple[ExpectedRow, ...]
    fields: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]

    @property
    def evidence(self) -> Comparison | None:
        """Return the comparison on whose numbers the route can go live."""
        return None if self.outdated else self.comparison


def load_expected_changes(route: Route, now: datetime) -> ExpectedChanges:
    """Load what a route would do, by a fixed number of statements."""
    comparison = None if route.relays else latest_comparison(route)
    compared_at = comparison.requested_at if comparison is not None else None
    # Of a live route, only what it has observed since the comparison is of interest: nothing covers it.
    observed = read_observed_changes(route, route.mode_since if route.observes else compared_at, compared_at)
    return ExpectedChanges(
        route,
        comparison,
        None if route.relays else open_comparison(route),
        find_outdated(comparison, now) if comparison is not None else "",
        find_refusal(route),
        tuple(_expected_rows(route, comparison, observed)),
        tuple(_field_rows(comparison, observed)),
        tuple(_notes(route, comparison, observed)),
    )


def _expected_rows(
    route: Route, comparison: Comparison | None, observed: ObservedChanges
) -> Iterator[ExpectedRow]:
    changes = _change_effects(route, observed)
    for label, text, counted, seen in changes + _other_effects(observed):
        row = _expected_row(label, text, comparison, counted, seen)
        # The first two are shown in any case: they are what a person looks for.
        if counted in (effect[2] for effect in changes[:2]) or row.compared not in ("", "0") or seen:
            yield row


def _change_effects(route: Route, observed: ObservedChanges) -> tuple[_Effect, ...]:
    """Return what changes records: creations, updates, removals, and what a person decides first."""
    refuses = route.without_match == Route.NoMatchPolicy.REFUSE
    removed = {
        Route.DeletionPolicy.DELETE: _("Records deleted"),
        Route.DeletionPolicy.DEACTIVATE: _("Records deactivated"),
        Route.DeletionPolicy.IGNORE: _("Records of deleted entities"),
    }[Route.DeletionPolicy(route.when_deleted)]
    kinds = DifferenceKind
    return (
        (
            _("Refused: no record") if refuses else _("Records created"),
            _("The target has no record for the entity."),
            (kinds.MISSING_RECORD,),
            observed.created,
        ),
        (
            _("Records updated"),
            _("The record has other values than the mapping gives."),
            (kinds.DIFFERS,),
            observed.updated,
        ),
        (removed, _("The entity no longer exists."), (kinds.ENTITY_GONE,), observed.removed),
        (
            _("Matches to decide"),
            _("A record without a link has the same value, such as an address."),
            (kinds.FOUND_BY_VALUE,),
            observed.to_decide,
        ),
        (
            _("Not proven"),
            _(
                "Nothing proves that the entity or the record was deleted, or that the record belongs to the entity. "
                "A person decides."
            ),
            (),
            observed.unproven,
        ),
    )


def _other_effects(observed: ObservedChanges) -> tuple[_Effect, ...]:
    """Return what changes no record."""
    kinds = DifferenceKind
    return (
        (
            _("Failures"),
            _("The entity cannot be mapped or read."),
            (kinds.UNMAPPABLE, kinds.UNREADABLE),
            observed.failed,
        ),
        (
            _("Outside the scope"),
            _("The route is not for the entity."),
            (kinds.OUT_OF_SCOPE,),
            observed.out_of_scope,
        ),
        (
            _("Nothing to do"),
            _("The record is as the mapping says."),
            (ComparisonCount.IN_STEP, ComparisonCount.IN_STEP_REMOVED),
            observed.unchanged,
        ),
        (
            _("Records left alone"),
            _("They belong to no entity that the identity service lists."),
            (kinds.UNLINKED_RECORD, kinds.UNKNOWN_RECORD),
            0,
        ),
    )


def _expected_row(
    label: str, text: str, comparison: Comparison | None, counted: tuple[str, ...], seen: int
) -> ExpectedRow:
    # What a comparison cannot prove it counts as unreadable, among the failures.
    if comparison is None or not counted:
        return ExpectedRow(label, text, "", f"{seen:,}")
    compared = comparison_count(comparison, *counted)
    url = "" if compared == "0" or len(counted) > 1 else _rows_url(comparison, counted[0])
    return ExpectedRow(label, text, compared, f"{seen:,}", url)


def _rows_url(comparison: Comparison, kind: str) -> str:
    """Return where the differences of a kind are listed, or decided; empty for another count."""
    if kind == DifferenceKind.FOUND_BY_VALUE:
        return reverse("admin:sync_comparison_match", args=[comparison.uuid])
    if kind not in DifferenceKind.values:
        return ""
    page = reverse("admin:sync_comparison_change", args=[comparison.uuid])
    return f"{page}?{urlencode({'kind': kind})}#results"


def comparison_count(comparison: Comparison, *counted: str) -> str:
    """Return how many of these kinds a comparison found: *about* if some of them were not confirmed."""
    count = f"{sum(comparison.counts.get(kind, 0) for kind in counted):,}"
    is_about = any(comparison.unconfirmed.get(kind) for kind in counted)
    return _("about %(count)s") % {"count": count} if is_about else count


def _field_rows(comparison: Comparison | None, observed: ObservedChanges) -> Iterator[tuple[str, str, str]]:
    compared: Counter[str] = Counter(comparison.field_counts if comparison is not None else {})
    both = compared + observed.fields
    for name, _number in sorted(both.items(), key=lambda one: (-one[1], one[0]))[:MAX_FIELDS]:
        yield name, f"{compared[name]:,}" if comparison is not None else "", f"{observed.fields[name]:,}"


def _notes(route: Route, comparison: Comparison | None, observed: ObservedChanges) -> Iterator[str]:
    if comparison is not None and comparison.route_id != route.pk:
        yield _("The comparison was made with the settings of the route %(route)s.") % {
            "route": comparison.route
        }
    elif comparison is not None and route.updated_at > comparison.requested_at:
        yield _("The settings of the route were changed after the comparison began.")
    if comparison is not None and not comparison.is_complete:
        yield _("The comparison is incomplete. Its page says what was not read.")
    if observed.is_cut and route.observes:
        text = _("Of the events, only the newest %(limit)s of the source are counted.")
        yield text % {"limit": f"{MAX_EVENTS:,}"}
    if number := observed.since_comparison:
        yield ngettext(
            "%(number)s event was observed after the comparison began. It is not delivered later: compare again to "
            "include it.",
            "%(number)s events were observed after the comparison began. They are not delivered later: compare again "
            "to include them.",
            number,
        ) % {"number": f"{number:,}"}
