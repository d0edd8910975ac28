"""What the comparisons say of one entity: the evidence of the sentence at the top of its page."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from sync.models import (
    Comparison,
    ComparisonState,
    Delivery,
    Difference,
    DifferenceKind,
    DifferenceStatus,
    Link,
    Route,
)

# Beyond it, differences are counted and have no rows.
MAX_DIFFERENCES = 100_000
_MAX_ROUTES = 500


@dataclass(frozen=True, slots=True)
class EntityEvidence:
    """What the newest comparisons of the entity's pairs found. `compared_at`: the end of the oldest of them.

    `is_in_step`: each pair of the entity was compared, after its last change, and has no difference of it. `kind`,
    `fields` and `comparison` are of a difference that no later delivery may have ended. `has_changed`: a delivery
    ended after it was compared. `is_incomplete`: the entities were not all read, so perhaps this one was not either.
    """

    compared_at: datetime | None = None
    is_in_step: bool = False
    kind: str = ""
    fields: tuple[str, ...] = ()
    comparison: UUID | None = None
    has_changed: bool = False
    is_incomplete: bool = False

    @property
    def kind_label(self) -> str:
        """Return the name of the kind of difference."""
        return str(DifferenceKind(self.kind).label) if self.kind in DifferenceKind.values else self.kind


NOT_COMPARED = EntityEvidence()


def find_evidence(entity_type: str, entity_id: str) -> EntityEvidence:
    """Return what the newest comparisons say of an entity: one statement, and another if its pairs were compared."""
    pairs = list(_pairs_of_entity(entity_type, entity_id))
    keys = {done for _linked, done in pairs if done is not None}
    if any(done is None for _linked, done in pairs) or not keys:
        return NOT_COMPARED
    return _judge(list(_comparisons_with_entity(keys, entity_type, entity_id)))


def _pairs_of_entity(entity_type: str, entity_id: str) -> Iterable[tuple[bool, int | None]]:
    """Yield whether the entity has a link, and the newest comparison, of each pair: of those with a link, if any has.

    An entity without a link is in no comparison, except for a difference of it.
    """
    routes = Route.objects.filter(entity_type=entity_type, is_enabled=True).order_by("pk")
    columns = ("identity", "entity_type", "target", "mapping")
    done = Comparison.objects.filter(state=ComparisonState.DONE, **{name: OuterRef(name) for name in columns})
    link = Link.objects.filter(
        identity=OuterRef("identity"),
        target=OuterRef("target"),
        entity_type=OuterRef("entity_type"),
        entity_id=entity_id,
    )
    rows = routes.annotate(linked=Exists(link), done=Subquery(done.order_by("-pk").values("pk")[:1]))
    found = list(rows.values_list("linked", "done")[:_MAX_ROUTES])
    return [row for row in found if row[0]] or found


def _comparisons_with_entity(keys: set[int], entity_type: str, entity_id: str) -> QuerySet[Comparison, Any]:
    differences = Difference.objects.filter(comparison=OuterRef("pk"), entity_id=entity_id)
    found = differences.exclude(status=DifferenceStatus.CANDIDATE).order_by("pk")
    began = Coalesce(OuterRef("started_at"), OuterRef("requested_at"))
    later = Delivery.objects.filter(
        Q(settled_at=None) | Q(settled_at__gte=began),
        identity=OuterRef("identity"),
        target=OuterRef("target"),
        entity_type=entity_type,
        entity_id=entity_id,
    )
    link = Link.objects.filter(
        identity=OuterRef("identity"),
        target=OuterRef("target"),
        entity_type=entity_type,
        entity_id=entity_id,
    )
    return Comparison.objects.filter(pk__in=keys).annotate(
        found_kind=Subquery(found.values("kind")[:1]),
        found_fields=Subquery(found.values("fields")[:1]),
        is_changed=Exists(later),
        is_linked=Exists(link),
    )


def _judge(comparisons: list[Any]) -> EntityEvidence:
    compared_at = min(comparison.ended_at or comparison.requested_at for comparison in comparisons)
    for comparison in comparisons:
        if comparison.found_kind and not comparison.is_changed:
            fields = tuple(str(name) for name in comparison.found_fields or ())
            return EntityEvidence(compared_at, False, comparison.found_kind, fields, comparison.uuid)
    if any(comparison.is_changed for comparison in comparisons):
        return EntityEvidence(compared_at, has_changed=True)
    if any(_may_lack_it(comparison) for comparison in comparisons):
        return EntityEvidence(compared_at, is_incomplete=True)
    # It was in none of them.
    if not all(comparison.is_linked for comparison in comparisons):
        return NOT_COMPARED
    return EntityEvidence(compared_at, is_in_step=True)


def _may_lack_it(comparison: Comparison) -> bool:
    return bool(comparison.identity_gap) or comparison.difference_count > MAX_DIFFERENCES
