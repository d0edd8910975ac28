"""A run of the job that links what is certain: its route, how it reads both systems, and the commit of its progress."""

import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

from django.db.models import QuerySet

from audit.entries.append import SYSTEM, NewEntry, append_entries
from connectors.contracts.types import IdentityConnector
from connectors.values.secret_scrubber import SecretScrubber
from sync.attempts.delivery_run import open_connector
from sync.attempts.plan import Connectors
from sync.background_reads.paced_recorder import PacedRecorder, ReadsWait
from sync.comparisons.confirmation.confirmation_run import require_system
from sync.comparisons.list_gaps import ComparisonFailure
from sync.comparisons.live_plan import LiveReads, plan_subject
from sync.comparisons.match_linking.evidence import PlannedMatch, judge_match
from sync.comparisons.requests import pair_of
from sync.comparisons.sides.comparison_run import ComparisonFailed
from sync.deliveries.routes import ResolvedRoute, get_resolved_route
from sync.jobs.running_job import JobLost, JobStopped, RunningJob, ShouldContinue
from sync.models import Comparison, MatchLinking, MatchLinkingMember, MatchLinkingState
from webhooks.models import comparison_key

_RUNNING_STATES = (MatchLinkingState.PREVIEWING, MatchLinkingState.LINKING)
_RENEW_SECONDS = 15.0


@dataclass(slots=True)
class LinkingRun:
    """One run of the job. `counts` and `position` are those of the row, with what is not written yet. `requests`: those
    that this run has sent.
    """

    linking: MatchLinking
    job: RunningJob
    should_continue: ShouldContinue
    requests: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    position: dict[str, Any] = field(default_factory=dict)
    _renewed_at: float = field(default_factory=time.monotonic)
    _connectors: Connectors | None = None

    @property
    def comparison(self) -> Comparison:
        """Return the comparison that found the records."""
        return self.linking.comparison

    @property
    def is_preview(self) -> bool:
        """True if nothing is linked."""
        return self.linking.state == MatchLinkingState.PREVIEWING

    @property
    def actor(self) -> str:
        """Return the person who applied the preview, as the audit log names them."""
        person = self.linking.applied_by_id
        return SYSTEM if person is None else f"person:{person}"

    @property
    def key(self) -> bytes:
        """Return the key of the digests of this run."""
        return comparison_key(self.linking.uuid)

    @property
    def members(self) -> QuerySet[MatchLinkingMember]:
        """Select the subjects of the run, in their order."""
        return MatchLinkingMember.objects.filter(linking=self.linking.pk).order_by("pk")

    def resolve_route(self) -> ResolvedRoute:
        """Return the route as it is now. Raises JobStopped if this process is stopping, and ComparisonFailed if it
        compares another pair by now, or a connection is disabled.
        """
        if not self.should_continue():
            raise JobStopped
        resolved = get_resolved_route(self.comparison.route_id)
        if resolved.route.relays or pair_of(resolved.route) != pair_of(self.comparison):
            raise ComparisonFailed(ComparisonFailure.ROUTE_CHANGED)
        if resolved.mapping is None:
            raise ComparisonFailed(ComparisonFailure.ROUTE_CHANGED)
        if not (resolved.route.identity.is_enabled and resolved.route.target.is_enabled):
            raise ComparisonFailed("connection-disabled")
        return resolved

    def open_identity(self, resolved: ResolvedRoute) -> IdentityConnector:
        """Return a connector of the identity service whose requests yield to deliveries."""
        connection = resolved.route.identity
        recorder, request_id = PacedRecorder(connection, self), f"link-{uuid.uuid4()}"
        return cast(IdentityConnector, open_connector(connection, request_id, recorder, SecretScrubber()))

    def plan(self, resolved: ResolvedRoute, entity_id: str) -> PlannedMatch:
        """Plan a subject anew, with reads only. Raises ReadsWait, SystemsUnavailable, JobLost, JobStopped."""
        connections = (resolved.route.identity, resolved.route.target)
        reads = LiveReads(
            [PacedRecorder(connection, self) for connection in connections],
            adapt=self._note_connectors,
            raises=(JobLost, JobStopped, ReadsWait),
        )
        planned = plan_subject(resolved, entity_id, reads=reads)
        retry_after = planned.result.retry_after if planned.result else None
        require_system(planned.code, retry_after, self._connectors)
        return judge_match(planned, self.key)

    def _note_connectors(self, connectors: Connectors) -> Connectors:
        self._connectors = connectors
        return connectors

    def renew_lease(self) -> None:
        """Renew the lease if it was not renewed a moment ago. Raises JobLost."""
        if time.monotonic() - self._renewed_at > _RENEW_SECONDS:
            self.job.renew_lease()
            self._renewed_at = time.monotonic()

    def lock(self) -> None:
        """Lock the row of the run: before that of its job, as everywhere. Raises JobLost if the run has ended."""
        rows = MatchLinking.objects.select_for_update(no_key=True).filter(state__in=_RUNNING_STATES)
        if not list(rows.filter(pk=self.linking.pk).values_list("pk")):
            raise JobLost

    def commit(self, **values: Any) -> None:
        """Store the progress, in the transaction that is open. Raises JobLost, so that nothing of it is written, if the
        run was cancelled or another worker has it.
        """
        written = {"counts": dict(+self.counts), "position": self.position, "problem": "", **values}
        rows = MatchLinking.objects.filter(pk=self.linking.pk, state__in=_RUNNING_STATES)
        if not rows.update(**written):
            raise JobLost
        self.job.renew_lease(made_progress=True)
        self._renewed_at = time.monotonic()
        for name, value in written.items():
            setattr(self.linking, name, value)


def append_ended_entry(linking: MatchLinking, actor: str) -> None:
    """Append the entry of a run that has ended, with its numbers, in the transaction that is open."""
    details = {
        "linking": str(linking.uuid),
        "state": str(linking.state),
        "previewed": dict(linking.previewed),
        "counts": dict(linking.counts),
        "failure": linking.problem,
    }
    append_entries(NewEntry(linking.comparison.stream, "links.ended", actor, details))
