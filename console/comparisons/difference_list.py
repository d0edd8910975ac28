"""The list of what a comparison found: its filters, its rows page by page, and where each row leads."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from urllib.parse import urlencode

from django.db import connection
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config_schema.codes.codes import is_about_identity
from console.base.damaged_rows import load_rows
from console.comparisons.match_words import evidence_text
from console.comparisons.words import kind_label
from console.ui.filter_set import FilteredPage, FilterSet
from console.ui.filters import Filter
from console.ui.keyset import BY_KEY
from console.ui.outcome_texts import describe_code, state_name
from sync.models import (
    MATCH_HELD_CODE,
    Comparison,
    Delivery,
    Difference,
    DifferenceKind,
    DifferenceStatus,
)
from sync.search.time_ranges import InvalidFilter
from webhooks.models import State

# Rows that one id finds: an id has few records, and a record few ids.
MAX_FOUND = 500
# A candidate is not known to be a difference.
REPORTED = (DifferenceStatus.CONFIRMED, DifferenceStatus.NOT_CONFIRMED)
# What can be made equal together. A record whose entity is gone is made equal by itself, others not at all.
KINDS_MADE_EQUAL = (DifferenceKind.DIFFERS, DifferenceKind.MISSING_RECORD)
_HAS_FIELD = {
    "sqlite": "EXISTS (SELECT 1 FROM json_each(sync_difference.fields) AS wanted WHERE wanted.value = %s)",
    "postgresql": "jsonb_exists(sync_difference.fields, %s)",
}


@dataclass(frozen=True, slots=True)
class DifferenceFilter:
    """Filter of the list of differences; empty fields restrict nothing. `q`: the id of an entity or of a record."""

    kind: str = ""
    status: str = ""
    field: str = ""
    q: str = ""

    def apply_to(self, rows: QuerySet[Difference]) -> QuerySet[Difference]:
        """Return the rows that match; a search costs two statements. Only a confirmed one has names of fields."""
        if self.q:
            # Not by OR: SQLite would read all rows in the order of the list.
            keys = [*_find_keys(rows, entity_id=self.q), *_find_keys(rows, record_id=self.q)]
            rows = rows.filter(pk__in=keys)
        statuses = [self.status] if self.status else list(REPORTED)
        if self.field:
            statuses = [status for status in statuses if status == DifferenceStatus.CONFIRMED]
            rows = rows.filter(_has_field(self.field))
        rows = rows.filter(status=statuses[0]) if len(statuses) == 1 else rows.filter(status__in=statuses)
        return rows.filter(kind=self.kind) if self.kind else rows


def _find_keys(rows: QuerySet[Difference], **wanted: str) -> list[int]:
    return list(rows.filter(**wanted).values_list("pk", flat=True)[:MAX_FOUND])


def _has_field(name: str) -> RawSQL:
    return RawSQL(_HAS_FIELD[connection.vendor], (name,), output_field=BooleanField())  # noqa: S611 - a parameter


def resolve_differences(params: Mapping[str, str], now: datetime) -> DifferenceFilter:
    """Resolve query parameters. Raises InvalidFilter."""
    found = DifferenceFilter(**{name: params.get(name, "") for name in ("kind", "status", "field", "q")})
    if found.kind and found.kind not in DifferenceKind.values:
        raise InvalidFilter("an unknown kind")
    if found.status and found.status not in REPORTED:
        raise InvalidFilter("an unknown status")
    return found


def difference_filters(comparison: Comparison) -> FilterSet[DifferenceFilter]:
    """Return the filters of the list. They offer only the kinds and the fields that the comparison found."""
    return FilterSet(
        (
            Filter("kind", gettext_lazy("Kind"), partial(_kind_options, comparison)),
            Filter("field", gettext_lazy("Field"), partial(_field_options, comparison)),
            Filter("status", gettext_lazy("Confirmed"), _status_options),
            Filter("q"),
        ),
        resolve_differences,
    )


def _kind_options(comparison: Comparison) -> list[tuple[str, str]]:
    return [(kind, kind_label(kind)) for kind in DifferenceKind.values if comparison.counts.get(kind)]


def _field_options(comparison: Comparison) -> list[tuple[str, str]]:
    return [(name, name) for name in sorted(comparison.field_counts)]


def _status_options() -> list[tuple[str, str]]:
    return [(DifferenceStatus.CONFIRMED, _("yes")), (DifferenceStatus.NOT_CONFIRMED, _("no"))]


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """One difference. `entity_type`: of its entity. `held`: its delivery that is held, None if there is none."""

    row: Difference
    entity_type: str
    system: str
    held: Delivery | None = None
    can_be_chosen: bool = False

    @property
    def kind(self) -> str:
        return kind_label(self.row.kind)

    @property
    def fields(self) -> str:
        return ", ".join(map(str, self.row.fields))

    @property
    def reason(self) -> str:
        """Return why the entity cannot be mapped or read, how certain a record is that was found by a value, or why its
        delivery is held or failed.
        """
        if self.row.kind == DifferenceKind.FOUND_BY_VALUE:
            return evidence_text(self.row.code)
        return describe_code(self.row.code, self.system).title if self.row.code else ""

    @property
    def desk_url(self) -> str:
        """Return the page on which a person decides about a record that was found by a value; empty for others."""
        if self.row.kind != DifferenceKind.FOUND_BY_VALUE or not self.row.entity_id:
            return ""
        return reverse("admin:sync_comparison_decide", args=[self.row.comparison.uuid, self.row.pk])

    @property
    def delivery_text(self) -> str:
        return state_name(self.row.delivery_state) if self.row.delivery_state else ""

    @property
    def delivery_url(self) -> str:
        """Return the page about its held or failed delivery: the desk that decides a match, the event of another held
        one, the failed events of the entity.
        """
        if self.held is not None:
            desk = self.held.code == MATCH_HELD_CODE
            page, key = (
                ("sync_delivery_match", self.held.pk)
                if desk
                else ("webhooks_event_change", self.held.event_id)
            )
            return reverse(f"admin:{page}", args=[key])
        params = {
            "state": self.row.delivery_state,
            "entity_type": self.entity_type,
            "entity_id": self.row.entity_id,
        }
        return (
            f"{reverse('admin:webhooks_event_changelist')}?{urlencode(params)}"
            if self.row.delivery_state
            else ""
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceList(FilteredPage):
    """The list of differences at one address."""

    @property
    def choosable_count(self) -> int:
        """Return how many rows can be chosen to be made equal."""
        return sum(row.can_be_chosen for row in self.rows)


def build_difference_list(
    request: HttpRequest, comparison: Comparison, chosen_kinds: Collection[str] = ()
) -> DifferenceList:
    """Read one page of the differences of a comparison, by two statements. Rows of `chosen_kinds` can be chosen."""
    asked = difference_filters(comparison).read_request(request.GET)
    matching = asked.resolved.apply_to(comparison.differences.all())
    page = BY_KEY.fetch_page(
        asked.page_request,
        lambda condition, order, limit: load_rows(matching.filter(condition).order_by(*order)[:limit]),
    )
    return DifferenceList(
        **asked.page_fields(page), rows=describe_differences(comparison, page.rows, chosen_kinds)
    )


def listed_differences(comparison: Comparison, query: QueryDict) -> QuerySet[Difference]:
    """Return all differences that match the address, in the order of the list. Raises InvalidFilter."""
    resolved = difference_filters(comparison).resolve_query(query)
    return resolved.apply_to(comparison.differences.all()).order_by("-pk")


def describe_differences(
    comparison: Comparison, rows: Sequence[Difference], chosen_kinds: Collection[str] = ()
) -> list[DifferenceRow]:
    """Return the rows with their held or failed deliveries, by at most one statement."""
    for row in rows:
        row.comparison = comparison
    held = _held_deliveries(comparison, [row.entity_id for row in rows if row.delivery_state == State.HELD])
    return [
        DifferenceRow(
            row,
            comparison.entity_type,
            _system_name(comparison, row),
            held.get(row.entity_id),
            row.kind in chosen_kinds,
        )
        for row in rows
    ]


def _held_deliveries(comparison: Comparison, entity_ids: Sequence[str]) -> dict[str, Delivery]:
    """Return the newest held delivery of each of these entities to the target, by the index of open deliveries."""
    if not entity_ids:
        return {}
    # Redundant for the result: the index of open deliveries begins with the entity.
    deliveries = Delivery.objects.open().filter(
        entity_id__in=entity_ids,
        entity_type=comparison.entity_type,
        identity=comparison.identity_id,
        target=comparison.target_id,
        state=State.HELD,
    )
    found = sorted(deliveries.only("entity_id", "code", "event"), key=lambda delivery: delivery.pk)
    return {delivery.entity_id: delivery for delivery in found}


def _system_name(comparison: Comparison, row: Difference) -> str:
    return (comparison.identity if is_about_identity(row.code) else comparison.target).name
