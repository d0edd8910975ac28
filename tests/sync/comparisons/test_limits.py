"""The requests of a comparison wait for deliveries, pauses and limits, and a comparison never writes."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import QuerySet
from django.db.models.sql.compiler import SQLCompiler
from django.utils import timezone

from connectors.exchange import OutgoingRequest
from sync.background_reads import paced_recorder
from sync.background_reads.paced_recorder import PacedRecorder
from sync.comparisons import result
from sync.comparisons.confirmation import confirmation_run
from sync.comparisons.progress import measure_progress
from sync.comparisons.requests import KIND
from sync.comparisons.sides import unlisted
from sync.comparisons.sides.comparison_run import ComparisonRun
from sync.deliveries.routes import resolved_routes
from sync.jobs.claims import claim_next_job
from sync.jobs.job_execution import always_continue
from sync.jobs.kinds import job_kinds
from sync.models import Comparison, Connection, Delivery, Job, Route
from sync.previews.attempt_preview import PreviewWouldWrite
from tests.support.builders.compared_systems import (
    PAGE_SIZE,
    ComparedSystems,
    add_delivery,
    begin_comparison,
    compare,
    compared_route,
    run_to_end,
)
from tests.support.connections import change_connection, copy_connection
from tests.support.jobs import run_jobs
from webhooks.models.rate_limit import RateLimitExceeded

pytestmark = pytest.mark.concurrent


def waiting_job() -> Job:
    job = Job.objects.get(kind=KIND)
    assert (job.state, job.errors) == ("waiting", 0)
    return job


def test_a_comparison_lets_deliveries_go_first(
    systems: ComparedSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    systems.add_pair(0)
    add_delivery("U00", "retrying", due_at=timezone.now() - timedelta(seconds=5))
    monkeypatch.setattr(paced_recorder, "_MAX_BACKLOG_SECONDS", 0.0)
    comparison = begin_comparison()
    run_jobs(KIND)
    assert waiting_job().due_at is not None
    assert systems.requests == []
    Delivery.objects.update(due_at=timezone.now() + timedelta(hours=1))
    assert run_to_end(comparison).counts == {"in-step": 1}


def test_a_paused_connection_is_not_read_and_the_comparison_goes_on_later(systems: ComparedSystems) -> None:
    systems.add_pair(0)
    comparison = begin_comparison()
    Connection.objects.filter(side="identity").update(paused_at=timezone.now())
    resolved_routes.invalidate()
    for _ in range(12):
        run_jobs(KIND)
    assert waiting_job().due_at is not None
    assert systems.requests == ["GET /customers"]
    Connection.objects.update(paused_at=None)
    resolved_routes.invalidate()
    assert run_to_end(comparison).state == "done"


def test_a_comparison_gets_half_of_the_rate_of_a_connection(
    systems: ComparedSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    systems.add_pair(0)
    change_connection(compared_route().target, requests_per_second=30.0)
    resolved_routes.invalidate()
    rates = []

    def refuse_turn(_key: str, rate: object, _seconds: float) -> float:
        rates.append(rate)
        raise RateLimitExceeded(7.0)

    with monkeypatch.context() as patched:
        patched.setattr(paced_recorder, "reserve_turn", refuse_turn)
        comparison = begin_comparison()
        run_jobs(KIND)
    assert [rate.per_second for rate in rates] == [15.0]  # type: ignore[attr-defined]
    assert systems.requests == []
    assert waiting_job().due_at is not None
    assert run_to_end(comparison).state == "done"


def test_a_write_is_refused_before_it_is_sent(systems: ComparedSystems) -> None:
    comparison = begin_comparison()
    job = claim_next_job(job_kinds()[KIND])
    assert job is not None
    recorder = PacedRecorder(compared_route().target, ComparisonRun(comparison, job, always_continue))
    write = OutgoingRequest(
        "update", "PATCH", "http://shop/customers/1", "/customers/{id}", {}, b"{}", None, True
    )
    with pytest.raises(PreviewWouldWrite):
        recorder.record_request(write)
    job.finish()


def test_one_comparison_of_a_target_and_two_of_an_identity_service_run_at_once(
    systems: ComparedSystems,
) -> None:
    first = begin_comparison()
    route = compared_route()
    others = [copy_connection(compared_route().target, f"shop-{number}") for number in range(2)]
    same_target = copy_connection(compared_route().identity, "other-id")
    pairs = [(route.identity, others[0]), (route.identity, others[1]), (same_target, route.target)]
    for identity, target in pairs:
        Comparison.objects.create(
            route=Route.objects.get(pk=route.pk),
            identity=identity,
            entity_type="USER",
            target=target,
            mapping=route.mapping,
            cause="command",
            requested_at=timezone.now(),
        )
    for comparison in Comparison.objects.exclude(pk=first.pk):
        Job.objects.create(
            kind=KIND, subject=comparison.pk, submitted_at=timezone.now(), due_at=timezone.now()
        )
    claimed = [job for job in (claim_next_job(job_kinds()[KIND]) for _ in range(4)) if job is not None]
    running = Comparison.objects.filter(state="running").order_by("pk")
    # The third would be of the same identity service, the fourth of the same target.
    assert [one.target.slug for one in running.select_related("target")] == ["shop", "shop-0"]
    assert len(claimed) == 2
    for job in claimed:
        job.finish()
    Comparison.objects.update(state="cancelled")


def test_progress_has_what_was_read_what_is_left_and_the_pace(systems: ComparedSystems) -> None:
    for number in range(4):
        systems.add_pair(number)
    first = compare()
    assert first.started_at is not None
    comparison = begin_comparison()
    assert measure_progress(comparison, timezone.now()).total == 4
    at = timezone.now()
    Comparison.objects.filter(pk=comparison.pk).update(
        state="running",
        started_at=at - timedelta(seconds=10),
        phase="entities",
        read_records=4,
        read_entities=1,
    )
    comparison.refresh_from_db()
    progress = measure_progress(comparison, at)
    assert (progress.done, progress.total, progress.per_second, progress.seconds_left) == (1, 4, 0.5, 6.0)
    Comparison.objects.filter(pk=comparison.pk).update(
        state="waiting", phase="records", read_records=0, read_entities=0
    )
    assert run_to_end(comparison).state == "done"


def test_the_rows_that_are_in_memory_at_once_do_not_grow_with_the_number_of_people(
    systems: ComparedSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody differs, so that differences are stored, confirmed and carried over. Batches are small ones here."""
    batches = ((result, "DELETE_BATCH"), (unlisted, "PAGE_SIZE"), (confirmation_run, "BATCH_SIZE"))
    for module, name in batches:
        monkeypatch.setattr(module, name, 2 * PAGE_SIZE)
    read, written = [0], [0]
    iterate_rows, insert = SQLCompiler.results_iter, QuerySet.bulk_create

    def count_rows(compiler: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
        rows = list(iterate_rows(compiler, *arguments, **options))
        read.append(len(rows))
        return iter(rows)

    def count_inserted(rows: Any, objects: Any, *arguments: Any, **options: Any) -> Any:
        made = list(objects)
        written.append(len(made))
        return insert(rows, made, *arguments, **options)

    monkeypatch.setattr(SQLCompiler, "results_iter", count_rows)
    monkeypatch.setattr(QuerySet, "bulk_create", count_inserted)
    for number in range(8 * PAGE_SIZE):
        systems.add_pair(number, last_name="Other")
    for _ in range(2):
        assert compare().counts == {"differs": 8 * PAGE_SIZE}
    assert max(read) <= 2 * PAGE_SIZE
    assert max(written) == PAGE_SIZE
