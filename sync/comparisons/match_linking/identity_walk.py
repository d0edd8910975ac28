"""Read the list of the identity service to its end, and note which verified values another entity has too.

A comparison knows only the entities that are not in step: one that is linked already, or in delivery, may have the same
verified value. A list that does not say that it is complete, or that ends early, proves nothing: then nothing is
linked.
"""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from connectors.contracts.errors import ConnectorError, CredentialsRefused, PositionRefused
from connectors.contracts.types import Entity, EntityPage, IdentityConnector
from sync.background_reads.paced_recorder import RETRY_SECONDS, ReadsWait
from sync.comparisons.list_gaps import ComparisonFailure, ListGap, find_end_gap
from sync.comparisons.match_linking.evidence import digest_value
from sync.comparisons.match_linking.linking_run import LinkingRun
from sync.comparisons.sides.comparison_run import ComparisonFailed
from sync.comparisons.sides.list_reading import MAX_RESTARTS, read_items
from sync.deliveries.routes import ResolvedRoute
from sync.models import MatchLinkingMember
from sync.planning.mapping import MappingOverBudget, ParsedMapping


def require_complete_list(run: LinkingRun) -> None:
    """Raise ComparisonFailed if the list of the identity service does not say that it is complete. Sends nothing."""
    resolved = run.resolve_route()
    facts = run.open_identity(resolved).list_facts(resolved.identity_type)
    if facts is None:
        raise ComparisonFailed(ComparisonFailure.NO_LIST)
    if not facts.is_complete:
        raise ComparisonFailed(ListGap.SAMPLE)


def walk_list(run: LinkingRun) -> None:
    """Read the list to its end, from the page after the last one that was committed.

    Raises ReadsWait, ComparisonFailed, JobLost, JobStopped.
    """
    while not run.position.get("is_read"):
        _walk_next_page(run)


def _walk_next_page(run: LinkingRun) -> None:
    resolved = run.resolve_route()
    identity = run.open_identity(resolved)
    try:
        page = identity.read_entity_page(resolved.identity_type, run.position.get("at"))
        entities = _read_entities(resolved, identity, page)
    except PositionRefused as error:
        _restart(run, error)
        return
    except ConnectorError as error:
        if error.retryable and not isinstance(error, CredentialsRefused):
            raise ReadsWait(error.code, error.retry_after or RETRY_SECONDS) from error
        raise ComparisonFailed(error.code) from error
    assert resolved.mapping is not None, "the run has seen to it"
    shared = _find_shared(run, resolved.mapping, entities)
    read = run.linking.read_entities + len(page.entities)
    if page.next is None:
        _require_whole(run, read, page.total)
    run.position = {**run.position, "at": page.next, "is_read": page.next is None}
    with transaction.atomic():
        run.lock()
        MatchLinkingMember.objects.filter(pk__in=shared).update(is_shared=True)
        run.commit(read_entities=read)


def _read_entities(
    resolved: ResolvedRoute, identity: IdentityConnector, page: EntityPage
) -> Sequence[Entity]:
    """Return the entities of a page as a whole. One that alone cannot be read is left out."""
    facts = identity.list_facts(resolved.identity_type)
    if facts is not None and facts.has_whole_items:
        return page.entities
    ids = [entity.id for entity in page.entities]
    found = read_items(ids, lambda one: identity.fetch_entity(resolved.identity_type, one))
    return [entity for entity in found if isinstance(entity, Entity)]


def _restart(run: LinkingRun, error: PositionRefused) -> None:
    """Begin the list anew, at most MAX_RESTARTS times. What was found to be shared stays so."""
    restarts = run.position.get("restarts", 0)
    if restarts >= MAX_RESTARTS:
        raise ComparisonFailed(error.code) from error
    run.position = {**run.position, "at": None, "restarts": restarts + 1}
    with transaction.atomic():
        run.commit(read_entities=0)


def _find_shared(run: LinkingRun, mapping: ParsedMapping, entities: Sequence[Entity]) -> list[int]:
    """Return the keys of the members whose value another entity of the page has verified too, by one statement."""
    owners: dict[bytes, set[str]] = {}
    for entity in entities:
        for digest in _digest_verified(run, mapping, entity):
            owners.setdefault(digest, set()).add(entity.id)
    if not owners:
        return []
    members = run.members.filter(value__in=list(owners)).values_list("pk", "entity_id", "value")
    return [pk for pk, entity_id, value in members if owners[bytes(value)] - {entity_id}]


def _digest_verified(run: LinkingRun, mapping: ParsedMapping, entity: Entity) -> list[bytes]:
    try:
        # Without mapped fields, only verified values are left.
        values = mapping.of_entity.new_values(entity.attributes, {}, {})
    except MappingOverBudget:
        return []
    return [digest_value(value, run.key) for value in values if value.is_verified]


def _require_whole(run: LinkingRun, read: int, total: int | None) -> None:
    """Raise ComparisonFailed if the list has ended early."""
    comparison: Any = run.comparison
    gap = find_end_gap(comparison, read=read, total=total, before=comparison.read_entities, is_linked=True)
    if gap:
        raise ComparisonFailed(gap)
