"""Confirm differences: plan each candidate again from both sides fetched now, and decide of what kind it is.

Candidates are taken in batches in the order of their keys; each batch is a commit, after which a run can continue. Of
a kind, at most MAX_CONFIRMED are planned again; the others are reported as not confirmed. An entity that is not listed
has to be absent twice, ABSENCE_CONFIRM_SECONDS apart: all first looks come first, and all second ones last, so that
they wait together. The wait holds no thread: the job runs again after it. At the end, differences of which an event has
told meanwhile are planned once more: the change of an entity is seen before its webhook arrives.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models import QuerySet

from connectors.contracts.errors import HUB_EXHAUSTED_CODE, ConnectorError
from connectors.exchange import Recorder
from database.clock import read_clock
from sync.attempts.plan import Connectors
from sync.comparisons.confirmation.candidates import (
    UNPLANNED_KINDS,
    absent_for_long,
    planned_at_once,
    reopen_changed,
    seconds_to_wait,
    set_surplus_aside,
    unseen_unlisted,
)
from sync.comparisons.confirmation.confirmed_rows import Decided, store_decided
from sync.comparisons.confirmation.difference_kinds import (
    NOTHING,
    Verdict,
    judge_listed,
    judge_unlisted,
    unreadable,
)
from sync.comparisons.confirmation.shared_access import SharedAccess
from sync.comparisons.confirmation.subject_states import SubjectStates, read_subject_states
from sync.comparisons.live_plan import LiveReads, PlannedSubject, find_entity, plan_subject
from sync.deliveries.routes import ResolvedRoute, get_resolved_route, with_mapping_version
from sync.jobs.running_job import JobLost, JobStopped, RunningJob, ShouldContinue
from sync.limits.circuit_breaker import is_system_failure
from sync.models import Comparison, ComparisonCount, Connection, Difference, Route

BATCH_SIZE = 20
_RETRY_SECONDS = 30.0
# An entity that was absent longer ago may have existed in between.
_MAX_BETWEEN = timedelta(days=1)
_PAUSE_CODES = frozenset({"preview-paused", "preview-late", "connection-disabled", HUB_EXHAUSTED_CODE})


Decide = Callable[[Difference, ResolvedRoute], Verdict | None]


class SystemsUnavailable(Exception):
    """A system cannot be read now, so that nothing can be confirmed: call again after `seconds`. `code`: the reason."""

    def __init__(self, code: str, seconds: float = _RETRY_SECONDS) -> None:
        super().__init__(code)
        self.code, self.seconds = code, seconds


def require_system(code: str, retry_after: float | None, connectors: Connectors | None) -> None:
    """Raise SystemsUnavailable for a code that concerns a whole system, unless a probe by `connectors` shows that it
    answers.
    """
    if code in _PAUSE_CODES or code.endswith("-throttled"):
        raise SystemsUnavailable(code, retry_after or _RETRY_SECONDS)
    if not is_system_failure(code):
        return
    if connectors is None:
        raise SystemsUnavailable(code)
    try:
        (connectors.identity if code.startswith("identity-") else connectors.target).probe_system()
    except ConnectorError as error:
        raise SystemsUnavailable(code, error.retry_after or _RETRY_SECONDS) from error


def confirm_candidates(
    comparison: Comparison,
    job: RunningJob,
    should_continue: ShouldContinue,
    make_recorder: Callable[[Connection], Recorder],
    raises: tuple[type[Exception], ...] = (),
) -> float | None:
    """Confirm the candidates of a comparison, and add them to its counts. Returns the seconds after which it has to be
    called again, None if no candidate is left.

    Call it first with an empty `position`. `make_recorder`: of a connection; its recorders renew the lease of the job
    before each request, and may raise `raises`. Raises these, JobLost, JobStopped and SystemsUnavailable; what was
    decided before is stored.
    """
    run = _Run(comparison, job, should_continue, make_recorder, raises)
    if comparison.position is None:
        run.comparison = set_surplus_aside(comparison, job)
    seconds = run.confirm_all()
    if seconds is not None:
        return seconds
    run.comparison = reopen_changed(run.comparison, job)
    return run.confirm_all()


@dataclass(slots=True)
class _Run:
    """One call. `tries`: how often the record of a candidate was written while it was planned."""

    comparison: Comparison
    job: RunningJob
    should_continue: ShouldContinue
    make_recorder: Callable[[Connection], Recorder]
    raises: tuple[type[Exception], ...]
    access: SharedAccess = field(default_factory=SharedAccess)
    tries: Counter[int] = field(default_factory=Counter)

    def confirm_all(self) -> float | None:
        """Confirm all candidates in turn. Returns the seconds until the others can be, None if none is left."""
        self._confirm(unseen_unlisted(self.comparison), self.look_for_entity)
        self._confirm(planned_at_once(self.comparison), self.judge)
        # Those that are absent wait for the last of them.
        if seconds := seconds_to_wait(self.comparison):
            return seconds
        self._confirm(absent_for_long(self.comparison), self.judge_absent)
        return seconds_to_wait(self.comparison) or None

    def _confirm(self, candidates: QuerySet[Difference], decide: Decide) -> None:
        """Decide candidates batch by batch until none is left."""
        while rows := list(candidates[:BATCH_SIZE]):
            self.access = SharedAccess()
            before = read_subject_states(self.comparison, [row.entity_id for row in rows])
            decided: list[Decided] = []
            try:
                for row in rows:
                    if not self.should_continue():
                        raise JobStopped
                    decided.append(self._decide(row, before, decide))
            finally:
                # Also what was decided before a system became unavailable, or the process was asked to stop.
                self._store(decided, before)

    def _decide(self, row: Difference, states: SubjectStates, decide: Decide) -> Decided:
        if row.entity_id in states.erased or row.kind in UNPLANNED_KINDS:
            return Decided(row, Verdict(row.kind, row.record_id, tuple(row.fields), row.code))
        if row.entity_id in states.in_delivery:
            return Decided(row, Verdict(ComparisonCount.IN_DELIVERY))
        self.access.begin_subject()
        return Decided(row, decide(row, self._route()), self.access.relied_on)

    def _route(self) -> ResolvedRoute:
        """Return the route as it is now, with the version of the mapping by which the sides were compared."""
        resolved = get_resolved_route(self.comparison.route_id)
        return with_mapping_version(resolved, self.comparison.mapping_version_id)

    def _reads(self, resolved: ResolvedRoute) -> LiveReads:
        recorders = [self.make_recorder(one) for one in (resolved.route.identity, resolved.route.target)]
        return LiveReads(recorders, adapt=self.access.adapt, raises=(JobLost, JobStopped, *self.raises))

    def look_for_entity(self, row: Difference, resolved: ResolvedRoute) -> Verdict | None:
        """Look for an entity that was not listed for the first time. Returns None if it does not exist."""
        if self.comparison.identity_gap:
            return NOTHING
        if resolved.route.when_deleted == Route.DeletionPolicy.IGNORE:
            return Verdict(ComparisonCount.IN_STEP_REMOVED)
        exists, code = find_entity(resolved, row.entity_id, self._reads(resolved))
        if code:
            require_system(code, None, self.access.connectors)
            return unreadable(row.record_id, code)
        return self.judge(row, resolved) if exists else None

    def judge(self, row: Difference, resolved: ResolvedRoute) -> Verdict:
        """Plan a subject whose entity exists."""
        return judge_listed(self._plan(row, resolved))

    def judge_absent(self, row: Difference, resolved: ResolvedRoute) -> Verdict | None:
        """Plan a subject whose entity was absent long enough ago."""
        if row.seen_absent_at is None or read_clock() - row.seen_absent_at > _MAX_BETWEEN:
            return self.look_for_entity(row, resolved)
        planned = self._plan(row, resolved)
        return judge_unlisted(planned, is_access_proven=self.access.is_entity_proven)

    def _plan(self, row: Difference, resolved: ResolvedRoute) -> PlannedSubject:
        planned = plan_subject(resolved, row.entity_id, reads=self._reads(resolved))
        retry_after = planned.result.retry_after if planned.result else None
        require_system(planned.code, retry_after, self.access.connectors)
        return planned

    def _store(self, decided: Sequence[Decided], before: SubjectStates) -> None:
        """Store what was decided in one commit: rows and counts. Raises SystemsUnavailable if a proof cannot be made
        again; then what rests on it is not stored.
        """
        if not decided:
            return
        try:
            refuted = self.access.find_refuted()
        except ConnectorError as error:
            self._commit([one for one in decided if not one.relied_on], before)
            raise SystemsUnavailable(error.code, error.retry_after or _RETRY_SECONDS) from error
        self._commit([one.without_proof_of(refuted) for one in decided], before)

    def _commit(self, decided: Sequence[Decided], before: SubjectStates) -> None:
        self.comparison = store_decided(self.comparison, self.job, decided, before, self.tries)
