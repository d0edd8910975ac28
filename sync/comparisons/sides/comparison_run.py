"""A comparison that this process runs: its route, its connectors and its position, and the commit of a page."""

import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

from django.db import transaction

from connectors.contracts.types import IdentityConnector, TargetConnector
from connectors.exchange import Recorder
from connectors.values.secret_scrubber import SecretScrubber
from sync.attempts.delivery_run import open_connector
from sync.background_reads.paced_recorder import PacedRecorder
from sync.comparisons.list_gaps import ComparisonFailure
from sync.comparisons.requests import pair_of
from sync.comparisons.sides.digests import ComparedFields
from sync.deliveries.routes import ResolvedRoute, get_resolved_route, with_mapping_version
from sync.jobs.running_job import JobLost, JobStopped, RunningJob, ShouldContinue
from sync.models import Comparison, ComparisonState, Connection, Difference
from sync.planning.mapping import ParsedMapping
from webhooks.models import comparison_key

MAX_DIFFERENCES = 100_000
_RENEW_SECONDS = 15.0


class ComparisonFailed(Exception):
    """The comparison cannot be carried out. `code`: why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class ComparisonRun:
    """One run of the job. `comparison` is as it was stored last; only this run changes its progress.

    `requests`: those that are not counted in the row yet.
    """

    comparison: Comparison
    job: RunningJob
    should_continue: ShouldContinue
    requests: int = 0
    _renewed_at: float = field(default_factory=time.monotonic)
    _ends: dict[str, Any] = field(default_factory=dict)
    _resolved: ResolvedRoute | None = None

    @property
    def resolved(self) -> ResolvedRoute:
        """Return the route as it was at the last page, with the mapping version that the comparison began with."""
        if self._resolved is None:
            resolved = get_resolved_route(self.comparison.route_id)
            self._resolved = with_mapping_version(resolved, self.comparison.mapping_version_id)
        return self._resolved

    @property
    def restarts(self) -> int:
        """Return how often a list was read from its beginning again."""
        return self.comparison.restarts

    def restart_list(self) -> None:
        """Let the side that is read begin anew, once what was read of it is deleted. Raises JobLost."""
        position = {**(self.comparison.position or {}), "clear": True}
        with transaction.atomic():
            self.commit(position=position, restarts=self.comparison.restarts + 1)

    @property
    def mapping(self) -> ParsedMapping:
        """Return the mapping by which both sides are compared."""
        return cast(ParsedMapping, self.resolved.mapping)

    @property
    def identity(self) -> IdentityConnector:
        """Return the connector of the identity service, whose requests pass its limits."""
        return cast(IdentityConnector, self._open("identity", self.resolved.route.identity))

    @property
    def target(self) -> TargetConnector:
        """Return the connector of the target, whose requests pass its limits."""
        return cast(TargetConnector, self._open("target", self.resolved.route.target))

    def _open(self, side: str, connection: Connection) -> object:
        if side not in self._ends:
            request_id = f"compare-{uuid.uuid4()}"
            self._ends[side] = open_connector(
                connection, request_id, self.make_recorder(connection), SecretScrubber()
            )
        return self._ends[side]

    def make_recorder(self, connection: Connection) -> Recorder:
        """Return a recorder that allows only reads, as often as a comparison may send them."""
        return PacedRecorder(connection, self)

    def require_running(self) -> None:
        """Read the route and open its connections anew for the next page.

        Raises JobStopped if this process is stopping, and ComparisonFailed if the route or a connection was switched
        to what cannot be compared.
        """
        if not self.should_continue():
            raise JobStopped
        self._ends.clear()
        self._resolved = None
        route = self.resolved.route
        if route.relays or pair_of(route) != pair_of(self.comparison):
            # Otherwise the rest would be read from other systems.
            raise ComparisonFailed(ComparisonFailure.ROUTE_CHANGED)
        if not (route.identity.is_enabled and route.target.is_enabled):
            raise ComparisonFailed("connection-disabled")

    def compared_fields(self) -> ComparedFields:
        """Return the fields that are compared, in the order in which the first page was digested."""
        position = self.comparison.position or {}
        resolved, mapping = self.resolved, self.mapping
        unread = self.target.unread_fields(resolved.target_type, mapping.compared_fields)
        fields = ComparedFields.of_mapping(
            mapping, comparison_key(self.comparison.uuid), unread=unread, unseen=resolved.unseen_fields
        )
        return fields.with_optional(position.get("optional", fields.optional))

    def renew_lease(self) -> None:
        """Renew the lease if it was not renewed a moment ago. Raises JobLost."""
        if time.monotonic() - self._renewed_at > _RENEW_SECONDS:
            self.job.renew_lease()
            self._renewed_at = time.monotonic()

    def commit(self, **values: Any) -> None:
        """Store progress, in the transaction that is open. Raises JobLost, so that nothing of it is written, if the
        comparison was cancelled or another worker has it.
        """
        written = {**values, "request_count": self.comparison.request_count + self.requests}
        rows = Comparison.objects.filter(pk=self.comparison.pk, state=ComparisonState.RUNNING)
        # The row of the comparison before the job, as everywhere.
        if not rows.update(**written):
            raise JobLost
        self.job.renew_lease(made_progress=True)
        self.requests, self._renewed_at = 0, time.monotonic()
        for name, value in written.items():
            setattr(self.comparison, name, value)


@dataclass(slots=True)
class FoundDifferences:
    """The differences of a page: rows, and what is only counted."""

    rows: list[Difference] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unconfirmed: Counter[str] = field(default_factory=Counter)

    def store(self, run: ComparisonRun) -> dict[str, Any]:
        """Insert the rows, up to MAX_DIFFERENCES of the comparison, in the transaction that is open. Returns the values
        of the comparison's counts.
        """
        comparison, position = run.comparison, run.comparison.position or {}
        kept = self.rows[: max(0, MAX_DIFFERENCES - position.get("rows", 0))]
        Difference.objects.bulk_create(kept, ignore_conflicts=True)
        surplus = Counter(str(row.kind) for row in self.rows[len(kept) :])
        counts = Counter(comparison.counts) + self.counts + surplus
        unconfirmed = Counter(comparison.unconfirmed) + self.unconfirmed + surplus
        return {"counts": dict(counts), "unconfirmed": dict(unconfirmed)}

    @property
    def row_count(self) -> int:
        """Return how many rows were found."""
        return len(self.rows)
