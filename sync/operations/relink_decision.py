"""Find the record of one link by its external id, as an attempt does, with reads only."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, cast

from connectors.contracts.errors import ConnectorError
from connectors.contracts.types import Access, TargetConnector
from connectors.exchange import OutgoingRequest, RecordedExchange
from database.connection import release_connection
from sync.deliveries.record_links import has_linked_entity, known_record_ids, other_owners
from sync.deliveries.routes import ResolvedRoute, resolved_routes
from sync.jobs.running_job import RunningJob
from sync.limits.circuit_breaker import allowed_deliveries
from sync.limits.rate_limit import wait_for_turn
from sync.models import Connection, Delivery, Link, RelinkOutcome
from sync.planning.mapping import ParsedMapping
from sync.planning.record_matching import (
    AmbiguousMatch,
    FoundRecord,
    MatchUndecided,
    RecordAbsenceUnproven,
    RecordQuery,
    find_record,
)

_MAX_TURN_SECONDS = 20.0


class TargetUnavailable(Exception):
    """The target cannot be read now; the run continues later. `code`: the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class RelinkDecision(NamedTuple):
    """What becomes of a link; `record_id`: the record that it gets, `field`: where that bears the entity's id."""

    outcome: RelinkOutcome
    record_id: str = ""
    field: str = ""


@dataclass(slots=True)
class ReadRecorder:
    """`Recorder` of a run: allows reads while the breaker is closed, and renews the lease of the job before each."""

    connection: Connection
    job: RunningJob

    def record_request(self, request: OutgoingRequest) -> None:
        """Allow a read. Raises TargetUnavailable, RateLimited, or JobLost."""
        assert not request.is_write, "linking sends reads only"
        if allowed_deliveries(self.connection) == 0:
            raise TargetUnavailable("target-unavailable")
        if (limit := self.connection.requests_per_second) is not None:
            wait_for_turn(self.connection, limit, _MAX_TURN_SECONDS)
        self.job.renew_lease()
        release_connection()

    def check_before_sending(self, _: OutgoingRequest) -> None:
        """Allow every write: none is recorded."""

    def record_exchange(self, exchange: RecordedExchange) -> None:
        """Store nothing: the audit log has the run."""


def decide_link(link: Link, target: TargetConnector, readable_types: set[str]) -> RelinkDecision:
    """Find the record that bears the external id of a link's entity. Raises ConnectorError if a request failed that may
    succeed later.

    `readable_types`: the types of the target of which other records were read a moment ago; one that is proven here is
    added. So after an import, which leaves no old id, each record costs a read and a search.
    """
    route = _route_of(link)
    name = None if route is None else _external_id_field(route)
    if route is None or name is None:
        return RelinkDecision(RelinkOutcome.UNCHECKED)
    try:
        found = find_record(
            target, cast(ParsedMapping, route.mapping), _query_of(link, route, target, readable_types)
        )
    except (AmbiguousMatch, MatchUndecided, RecordAbsenceUnproven):
        return RelinkDecision(RelinkOutcome.HELD)
    except ConnectorError as error:
        if error.retryable:
            raise
        return RelinkDecision(RelinkOutcome.HELD)
    return _decide_found(found, link, name)


def _external_id_field(route: ResolvedRoute) -> str | None:
    """Return the field by which the mapping of a route proves its links; None if it proves none."""
    name = None if route.mapping is None else route.mapping.match.external_id
    return name if route.mapping is not None and name in route.mapping.fields else None


def _decide_found(found: FoundRecord, link: Link, name: str) -> RelinkDecision:
    if found.record is None:
        return RelinkDecision(RelinkOutcome.ABSENT)
    if found.has_lost_external_id:
        return RelinkDecision(RelinkOutcome.HELD)
    if found.record.id == link.record_id:
        return RelinkDecision(RelinkOutcome.STAYS)
    return RelinkDecision(RelinkOutcome.RELINKED, found.record.id, name)


def _route_of(link: Link) -> ResolvedRoute | None:
    """Return the route of a link's entity and target, rather an enabled one; None if there is none any more."""
    subject = link.identity_id, link.entity_type, link.target_id
    routes = [
        resolved
        for resolved in resolved_routes().values()
        if (resolved.route.identity_id, resolved.route.entity_type, resolved.route.target_id) == subject
    ]
    return max(routes, key=lambda resolved: resolved.route.is_enabled, default=None)


def subject_of(link: Link) -> Delivery:
    """Return an unsaved delivery of the subject, which names it."""
    return Delivery(
        identity_id=link.identity_id,
        target_id=link.target_id,
        entity_type=link.entity_type,
        entity_id=link.entity_id,
    )


def _query_of(
    link: Link, route: ResolvedRoute, target: TargetConnector, readable_types: set[str]
) -> RecordQuery:
    subject = subject_of(link)

    def prove_absence(record_id: str) -> None:
        if route.target_type in readable_types:
            return
        if target.check_access(route.target_type, record_id, known_record_ids(subject)) != Access.GRANTED:
            raise RecordAbsenceUnproven
        readable_types.add(route.target_type)

    return RecordQuery(
        entity_type=route.target_type,
        entity_id=link.entity_id,
        linked_record_id=link.record_id,
        proven_field=link.external_id_field or "",
        other_owners=partial(other_owners, subject),
        prove_absence=prove_absence,
        is_other_entity=partial(has_linked_entity, subject),
    )
