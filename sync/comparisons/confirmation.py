"""Confirm differences: plan each candidate again from both sides fetched now, and decide of what kind it is.

Candidates are taken in batches in the order of their keys; each batch is a commit, after which a run can continue. Of
a kind, at most MAX_CONFIRMED are planned again; the others are reported as not confirmed. An entity that is not listed
has to be absent twice, ABSENCE_CONFIRM_SECONDS apart: all first looks come first, and all second ones last, so that
they wait together. The wait holds no thread: the job runs again after it. At the end, differences of which an event has
told meanwhile are planned once more: the change of an entity is seen before its webhook arrives.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Max, QuerySet

from connectors.contracts.errors import HUB_EXHAUSTED_CODE, ConnectorError, Side
from connectors.exchange import Recorder
from database.clock import read_clock
from sync.comparisons.difference_kinds import (
    IN_DELIVERY,
    IN_STEP_REMOVED,
    NOTHING,
    Verdict,
    judge_listed,
    judge_unlisted,
    unreadable,
    without_proof,
)
from sync.comparisons.live_plan import LiveReads, PlannedSubject, find_entity, plan_subject
from sync.comparisons.shared_access import SharedAccess
from sync.comparisons.subject_states import SubjectStates, find_erased, read_subject_states
from sync.deliveries.routes import ResolvedRoute, get_resolved_route, with_mapping_version
from sync.jobs.running_job import JobLost, JobStopped, RunningJob, ShouldContinue
from sync.limits.circuit_breaker import is_system_failure
from sync.models import (
    Comparison,
    ComparisonState,
    Connection,
    Difference,
    DifferenceKind,
    DifferenceStatus,
    Route,
)
from webhooks.models import Event

MAX_CONFIRMED = 1_000
BATCH_SIZE = 20
_SURPLUS_BATCH = 1_000
_RETRY_SECONDS = 30.0
# An entity that was absent longer ago may have existed in between.
_MAX_SECONDS_BETWEEN = 86_400.0
# A subject whose record is written again and again while it is planned.
_MAX_TRIES = 3
# Without an entity to plan, or nothing that a plan could confirm.
_UNPLANNED_KINDS = (
    DifferenceKind.UNLINKED_RECORD,
    DifferenceKind.UNKNOWN_RECORD,
    DifferenceKind.OUT_OF_SCOPE,
)
_PAUSE_CODES = frozenset({"preview-paused", "preview-late", "connection-disabled", HUB_EXHAUSTED_CODE})


Decide = Callable[[Difference, ResolvedRoute], Verdict | None]


class SystemsUnavailable(Exception):
    """A system cannot be read now, so that nothing can be confirmed: call again after `seconds`. `code`: the reason."""

    def __init__(self, code: str, seconds: float = _RETRY_SECONDS) -> None:
        super().__init__(code)
        self.code, self.seconds = code, seconds


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
        _set_surplus_aside(run)
    seconds = run.confirm_all()
    if seconds is None and _reopen_changed(run):
        seconds = run.confirm_all()
    return seconds


def _candidates(comparison: Comparison) -> QuerySet[Difference]:
    rows = Difference.objects.filter(comparison=comparison, status=DifferenceStatus.CANDIDATE)
    return rows.order_by("pk")


def _unseen_unlisted(comparison: Comparison) -> QuerySet[Difference]:
    return _candidates(comparison).filter(kind=DifferenceKind.ENTITY_GONE, seen_absent_at=None)


def _planned_at_once(comparison: Comparison) -> QuerySet[Difference]:
    return _candidates(comparison).exclude(kind=DifferenceKind.ENTITY_GONE)


def _seen_absent(comparison: Comparison) -> QuerySet[Difference]:
    rows = _candidates(comparison).filter(kind=DifferenceKind.ENTITY_GONE)
    return rows.filter(seen_absent_at__isnull=False)


def _absent_for_long(comparison: Comparison) -> QuerySet[Difference]:
    limit = read_clock() - timedelta(seconds=settings.ABSENCE_CONFIRM_SECONDS)
    return _seen_absent(comparison).filter(seen_absent_at__lte=limit)


def _seconds_to_wait(comparison: Comparison) -> float:
    """Return the seconds until the last of the entities that were absent has been so for long enough, 0 without one."""
    newest = _seen_absent(comparison).aggregate(newest=Max("seen_absent_at"))["newest"]
    if newest is None:
        return 0.0
    waited = (read_clock() - newest).total_seconds()
    return max(0.0, float(settings.ABSENCE_CONFIRM_SECONDS) - waited)


@dataclass(frozen=True, slots=True)
class _Decided:
    """A candidate and what it is. Without a `verdict`, it stays one: its entity was absent now for the first time."""

    row: Difference
    verdict: Verdict | None
    relied_on: frozenset[Side] = frozenset()

    def without_proof_of(self, refuted: frozenset[Side]) -> "_Decided":
        """Return it without what rests on the access to a side that was refuted."""
        missing = self.relied_on & refuted
        if self.verdict is None or not missing:
            return self
        return replace(self, verdict=without_proof(self.verdict, missing))


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
        self._confirm(_unseen_unlisted(self.comparison), self.look_for_entity)
        self._confirm(_planned_at_once(self.comparison), self.judge)
        # Those that are absent wait for the last of them.
        if seconds := _seconds_to_wait(self.comparison):
            return seconds
        self._confirm(_absent_for_long(self.comparison), self.judge_absent)
        return _seconds_to_wait(self.comparison) or None

    def _confirm(self, candidates: QuerySet[Difference], decide: Decide) -> None:
        """Decide candidates batch by batch until none is left."""
        while rows := list(candidates[:BATCH_SIZE]):
            self.access = SharedAccess()
            before = read_subject_states(self.comparison, [row.entity_id for row in rows])
            decided: list[_Decided] = []
            try:
                for row in rows:
                    if not self.should_continue():
                        raise JobStopped
                    decided.append(self._decide(row, before, decide))
            finally:
                # Also what was decided before a system became unavailable, or the process was asked to stop.
                self._store(decided, before)

    def _decide(self, row: Difference, states: SubjectStates, decide: Decide) -> _Decided:
        if row.entity_id in states.erased or row.kind in _UNPLANNED_KINDS:
            return _Decided(row, Verdict(row.kind, row.record_id, tuple(row.fields), row.code))
        if row.entity_id in states.in_delivery:
            return _Decided(row, Verdict(IN_DELIVERY))
        self.access.begin_subject()
        return _Decided(row, decide(row, self._route()), self.access.relied_on)

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
            return Verdict(IN_STEP_REMOVED)
        exists, code = find_entity(resolved, row.entity_id, self._reads(resolved))
        if code:
            self._require_system(code, None)
            return unreadable(row.record_id, code)
        return self.judge(row, resolved) if exists else None

    def judge(self, row: Difference, resolved: ResolvedRoute) -> Verdict:
        """Plan a subject whose entity exists."""
        return judge_listed(self._plan(row, resolved))

    def judge_absent(self, row: Difference, resolved: ResolvedRoute) -> Verdict | None:
        """Plan a subject whose entity was absent long enough ago."""
        if row.seen_absent_at is None or read_clock() - row.seen_absent_at > timedelta(
            seconds=_MAX_SECONDS_BETWEEN
        ):
            return self.look_for_entity(row, resolved)
        planned = self._plan(row, resolved)
        return judge_unlisted(planned, is_access_proven=self.access.is_entity_proven)

    def _plan(self, row: Difference, resolved: ResolvedRoute) -> PlannedSubject:
        planned = plan_subject(resolved, row.entity_id, reads=self._reads(resolved))
        self._require_system(planned.code, planned.result.retry_after if planned.result else None)
        return planned

    def _require_system(self, code: str, retry_after: float | None) -> None:
        """Raise SystemsUnavailable for a code that concerns a whole system, unless a probe shows that it answers."""
        if code in _PAUSE_CODES or code.endswith("-throttled"):
            raise SystemsUnavailable(code, retry_after or _RETRY_SECONDS)
        if not is_system_failure(code):
            return
        connectors = self.access.connectors
        if connectors is None:
            raise SystemsUnavailable(code)
        try:
            (connectors.identity if code.startswith("identity-") else connectors.target).probe_system()
        except ConnectorError as error:
            raise SystemsUnavailable(code, error.retry_after or _RETRY_SECONDS) from error

    def _store(self, decided: Sequence[_Decided], before: SubjectStates) -> None:
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

    def _commit(self, decided: Sequence[_Decided], before: SubjectStates) -> None:
        with transaction.atomic():
            comparison = _lock(self.comparison)
            # An erasure may have deleted a row meanwhile.
            keys = (
                _candidates(comparison)
                .filter(pk__in=[one.row.pk for one in decided])
                .values_list("pk", flat=True)
            )
            left = set(keys)
            now = read_subject_states(comparison, [one.row.entity_id for one in decided])
            outcome = _Outcome(Counter(comparison.counts), Counter(comparison.field_counts))
            for one in decided:
                if one.row.pk in left:
                    self._add(outcome, one, before, now)
            outcome.write(comparison)
            self.job.renew_lease(made_progress=True)
        self.comparison = comparison

    def _add(self, outcome: "_Outcome", one: _Decided, before: SubjectStates, now: SubjectStates) -> None:
        row, verdict, entity_id = one.row, one.verdict, one.row.entity_id
        if entity_id in now.in_delivery:
            outcome.drop(row, IN_DELIVERY)
        elif verdict is None:
            row.seen_absent_at = read_clock()
            outcome.kept.append(row)
        elif entity_id in now.erased:
            outcome.drop(row, verdict.count)
        elif verdict.is_difference and before.links.get(entity_id) != now.links.get(entity_id):
            # The record was written while the subject was planned, perhaps between the two reads: plan it again.
            self.tries[row.pk] += 1
            if self.tries[row.pk] >= _MAX_TRIES:
                outcome.drop(row, IN_DELIVERY)
        elif verdict.is_difference:
            outcome.report(row, verdict, now.stopped.get(entity_id))
        else:
            outcome.drop(row, verdict.count)


@dataclass(slots=True)
class _Outcome:
    """What a commit writes."""

    counts: Counter[str]
    field_counts: Counter[str]
    kept: list[Difference] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)

    def drop(self, row: Difference, count: str) -> None:
        """Delete a candidate, and count it under a name, empty: not at all."""
        self.dropped.append(row.pk)
        if count:
            self.counts[str(count)] += 1

    def report(self, row: Difference, verdict: Verdict, stopped: tuple[str, str] | None) -> None:
        """Confirm a candidate as a difference. `stopped`: state and code of its delivery that is held or has failed."""
        row.delivery_state, code = stopped or ("", "")
        row.kind, row.status = verdict.count, DifferenceStatus.CONFIRMED
        row.record_id, row.fields, row.code = verdict.record_id, list(verdict.fields), verdict.code or code
        row.seen_absent_at = None
        self.kept.append(row)
        self.counts[str(verdict.count)] += 1
        if verdict.count == DifferenceKind.DIFFERS:
            self.field_counts.update(verdict.fields)

    def write(self, comparison: Comparison) -> None:
        """Write rows and counts, inside the transaction that locks the comparison."""
        names = ["kind", "status", "record_id", "fields", "code", "delivery_state", "seen_absent_at"]
        Difference.objects.bulk_update(self.kept, names)
        Difference.objects.filter(pk__in=self.dropped).delete()
        comparison.counts, comparison.field_counts = dict(self.counts), dict(self.field_counts)
        comparison.save(update_fields=["counts", "field_counts"])


def _lock(comparison: Comparison) -> Comparison:
    """Lock the row of a comparison: before that of its job, as everywhere. Raises JobLost if it has ended."""
    rows = Comparison.objects.select_for_update(no_key=True).filter(state=ComparisonState.RUNNING)
    locked = rows.filter(pk=comparison.pk).first()
    if locked is None:
        raise JobLost
    return locked


def _set_surplus_aside(run: _Run) -> None:
    """Report the candidates beyond the first MAX_CONFIRMED of each kind as not confirmed.

    Before any is confirmed: a run that is interrupted here finds the same ones again.
    """
    planned = [kind for kind in DifferenceKind.values if kind not in _UNPLANNED_KINDS]
    for kind in planned:
        of_kind = _candidates(run.comparison).filter(kind=kind)
        last = of_kind.values_list("pk", flat=True)[MAX_CONFIRMED - 1 : MAX_CONFIRMED].first()
        while last and (rows := list(of_kind.filter(pk__gt=last)[:_SURPLUS_BATCH])):
            _store_unconfirmed(run, kind, rows)
    with transaction.atomic():
        comparison = _lock(run.comparison)
        comparison.position = {"began_at": read_clock().isoformat()}
        comparison.save(update_fields=["position"])
        run.job.renew_lease(made_progress=True)
    run.comparison = comparison


def _store_unconfirmed(run: _Run, kind: str, rows: Iterable[Difference]) -> None:
    by_id = {row.pk: row.entity_id for row in rows}
    with transaction.atomic():
        comparison = _lock(run.comparison)
        erased = find_erased(comparison, by_id.values())
        dropped = [pk for pk, entity_id in by_id.items() if entity_id in erased]
        deleted, _ = Difference.objects.filter(pk__in=dropped).delete()
        reported = Difference.objects.filter(pk__in=by_id.keys(), status=DifferenceStatus.CANDIDATE)
        found = reported.update(status=DifferenceStatus.NOT_CONFIRMED)
        comparison.counts[kind] = comparison.counts.get(kind, 0) + found + deleted
        comparison.unconfirmed[kind] = comparison.unconfirmed.get(kind, 0) + found
        comparison.save(update_fields=["counts", "unconfirmed"])
        run.job.renew_lease(made_progress=True)
    run.comparison = comparison


def _reopen_changed(run: _Run) -> bool:
    """Make candidates of the differences of which an event has told since the first was confirmed. Returns False if
    there is none, or if that was done before.
    """
    position = run.comparison.position or {}
    if "reopened" in position:
        return False
    events = Event.objects.filter(
        entity_type=run.comparison.entity_type, received_at__gte=datetime.fromisoformat(position["began_at"])
    )
    confirmed = Difference.objects.filter(
        comparison=run.comparison, status=DifferenceStatus.CONFIRMED, entity_id__in=events.values("entity_id")
    )
    rows = list(confirmed.exclude(kind__in=_UNPLANNED_KINDS).order_by("pk"))
    with transaction.atomic():
        comparison = _lock(run.comparison)
        counts, field_counts = Counter(comparison.counts), Counter(comparison.field_counts)
        for row in rows:
            counts[row.kind] -= 1
            if row.kind == DifferenceKind.DIFFERS:
                field_counts.subtract(row.fields)
        Difference.objects.filter(pk__in=[row.pk for row in rows]).update(status=DifferenceStatus.CANDIDATE)
        comparison.counts, comparison.field_counts = dict(+counts), dict(+field_counts)
        comparison.position = {**position, "reopened": len(rows)}
        comparison.save(update_fields=["counts", "field_counts", "position"])
        run.job.renew_lease(made_progress=True)
    run.comparison = comparison
    return bool(rows)
