"""A comparison in its last phase, with candidates, and its job as a worker that holds it."""

import time
import uuid
from datetime import timedelta
from typing import Any

from django.db.models import F
from django.utils import timezone

from database.clock import read_clock
from sync.comparisons.confirmation.confirmation_run import confirm_candidates
from sync.deliveries.routes import resolved_routes
from sync.jobs.job_execution import always_continue
from sync.jobs.running_job import JobKind, RunningJob, ShouldContinue
from sync.models import (
    Comparison,
    ComparisonCause,
    ComparisonPhase,
    ComparisonState,
    Difference,
    DifferenceKind,
    Job,
    Route,
)
from sync.previews.attempt_preview import PreviewRecorder

KIND = JobKind("comparison", lambda job, should_continue: None)


def compared_route() -> Route:
    return Route.objects.select_related("source", "identity", "target", "mapping").get(
        source__slug="aurora", entity_type="USER"
    )


def confirming(*candidates: dict[str, Any], **values: Any) -> Comparison:
    """Store a comparison of people that has found these candidates, and its job, which runs."""
    route, now = compared_route(), read_clock()
    comparison = Comparison.objects.create(
        route=route,
        identity=route.identity,
        entity_type=route.entity_type,
        target=route.target,
        mapping=route.mapping,
        mapping_version=route.mapping.versions.latest("number"),
        cause=ComparisonCause.PERSON,
        requested_at=now,
        state=ComparisonState.RUNNING,
        phase=ComparisonPhase.CONFIRMING,
        to_confirm=len(candidates),
        **values,
    )
    Difference.objects.bulk_create(
        Difference(comparison=comparison, since=now, **{"kind": DifferenceKind.DIFFERS, **candidate})
        for candidate in candidates
    )
    Job.objects.create(
        kind=KIND.name,
        subject=comparison.pk,
        state="running",
        token=uuid.uuid4(),
        lease_until=timezone.now() + timedelta(hours=1),
        submitted_at=now,
    )
    return comparison


def job_of(comparison: Comparison) -> RunningJob:
    row = Job.objects.get(kind=KIND.name, subject=comparison.pk)
    assert row.token is not None
    return RunningJob(row.pk, KIND, comparison.pk, row.token)


def confirm(
    comparison: Comparison, should_continue: ShouldContinue = always_continue, job: RunningJob | None = None
) -> float | None:
    """Confirm the candidates as a job does, with recorders that allow reads only."""
    resolved_routes.invalidate()
    comparison.refresh_from_db()
    deadline = time.monotonic() + 600
    return confirm_candidates(
        comparison,
        job or job_of(comparison),
        should_continue,
        lambda connection: PreviewRecorder(connection, deadline),
    )


def let_absence_last(seconds: float = 31.0) -> None:
    """Let so many seconds pass since the first look for entities that were absent."""
    rows = Difference.objects.filter(seen_absent_at__isnull=False)
    rows.update(seen_absent_at=F("seen_absent_at") - timedelta(seconds=seconds))


def confirm_to_the_end(comparison: Comparison) -> dict[str, int]:
    """Confirm all candidates, with the wait in between. Returns the counts."""
    while confirm(comparison) is not None:
        let_absence_last()
    comparison.refresh_from_db()
    return dict(comparison.counts)


def found(comparison: Comparison) -> list[tuple[str, str, list[str], str]]:
    """Return kind, entity, fields and code of each row, and check that none is a candidate."""
    rows = Difference.objects.filter(comparison=comparison).order_by("pk")
    assert all(row.status != "candidate" for row in rows)
    return [(row.kind, row.entity_id, row.fields, row.code) for row in rows]
