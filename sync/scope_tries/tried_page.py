"""Decide what becomes of the entities of one page, by two statements."""

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.contracts.errors import ConnectorError
from connectors.contracts.types import Entity
from sync.models import ConditionTry, ScopeOutcome, TriedEntity, find_links
from sync.planning.mapping import EntityNotMappable
from sync.planning.scope import ConditionOverBudget, in_scope
from sync.scope_tries.try_run import ConditionTryRun, TriedPage, TryFailed
from webhooks.made_events import is_entity_id

# After so many entities for which the condition costs too much, the next ones would too.
MAX_OVER_BUDGET = 10
# The entity, why it could not be read, or None if there is none.
ReadEntity = Entity | Mapping[str, Any] | ConnectorError | str | None


def try_entities(run: ConditionTryRun, items: Sequence[tuple[str, ReadEntity]]) -> TriedPage:
    """Return what becomes of entities, each with its id. One that was deleted counts nowhere.

    What cannot be read, or for what the condition is neither true nor false, is never outside. Raises TryFailed if the
    condition exceeds its budget MAX_OVER_BUDGET times, and JobLost.
    """
    existing = [(entity_id, item) for entity_id, item in items if item is not None]
    links = _read_links(run.row, [entity_id for entity_id, _ in existing])
    tried = []
    for entity_id, item in existing:
        # A page of a thousand entities may take longer than the lease.
        run.renew_lease()
        try:
            tried.append(_try_entity(run.row, entity_id, item, links))
        except ConditionOverBudget as failed:
            run.over_budget += 1
            if run.over_budget == MAX_OVER_BUDGET:
                raise TryFailed("mapping-over-budget") from failed
            tried.append(_unknown(run.row, entity_id, failed.reason))
    linked = sum(1 for entity_id, _ in existing if links.get(entity_id) is False)
    return TriedPage(len(items), tried, linked)


def _read_links(row: ConditionTry, entity_ids: Sequence[str]) -> dict[str, bool]:
    """Return for each entity with a linked record whether it has left the scope before."""
    ids = [entity_id for entity_id in entity_ids if is_entity_id(entity_id)]
    links = find_links(row).filter(entity_id__in=ids).values_list("entity_id", "left_scope_at")
    return {entity_id: left_at is not None for entity_id, left_at in links}


def _try_entity(
    row: ConditionTry, entity_id: str, item: ReadEntity, links: Mapping[str, bool]
) -> TriedEntity:
    """Raises ConditionOverBudget."""
    if isinstance(item, ConnectorError | str):
        return _unknown(row, entity_id, item if isinstance(item, str) else item.code)
    attributes = item.attributes if isinstance(item, Entity) else item
    try:
        is_inside = in_scope(row.condition, attributes or {})
    except ConditionOverBudget:
        raise
    except EntityNotMappable as failed:
        return _unknown(row, entity_id, failed.reason)
    outcome = _find_outcome(is_inside, has_left=links.get(entity_id))
    return TriedEntity(condition_try=row, entity_id=entity_id, outcome=outcome)


def _unknown(row: ConditionTry, entity_id: str, why: str) -> TriedEntity:
    return TriedEntity(condition_try=row, entity_id=entity_id, outcome=ScopeOutcome.UNKNOWN, detail=why[:200])


def _find_outcome(is_inside: bool, *, has_left: bool | None) -> ScopeOutcome:
    """Return the outcome of an entity. `has_left`: None if it has no linked record."""
    if is_inside:
        return ScopeOutcome.STAYS if has_left is False else ScopeOutcome.ENTERS
    if has_left is None:
        return ScopeOutcome.OUTSIDE
    return ScopeOutcome.LEFT if has_left else ScopeOutcome.LEAVES
