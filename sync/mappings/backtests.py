"""Request and run back-tests: small ones within the request, others by a worker.

A back-test reads stored data only. A run that was interrupted is started again by the next worker, as it
changes only its own row.
"""

import logging
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.acting_person import ActingPerson
from audit.entries.append import NewEntry, append_entries
from sync.jobs import submission
from sync.jobs.claims import claim_job_of
from sync.jobs.job_execution import always_continue
from sync.jobs.running_job import JobKind, JobLost, JobStopped, RunningJob, ShouldContinue
from sync.mappings.drafts import current_version
from sync.mappings.past_entities import PastEvent, past_event_chunks
from sync.models import BackTest, BackTestState, DraftState, JobState, MappingDraft, Route
from sync.planning.mapping import ParsedMapping
from sync.planning.mapping_comparison import ComparisonOutcome, MappingComparison, compare_mappings
from sync.planning.mapping_declaration import parse_mapping

logger = logging.getLogger("hub.backtests")

MIN_EVENTS, MAX_EVENTS = 10, 1_000
# More events than these are for a worker.
MAX_IN_REQUEST = 200
REQUEST_SECONDS, WORKER_SECONDS = 20.0, 600.0
# After this many mappings that cost too much, the next ones would too.
MAX_OVER_BUDGET = 10
EXAMPLES_PER_OUTCOME, MAX_EXAMPLES = 5, 40
OPEN_STATES = (BackTestState.WAITING, BackTestState.RUNNING)
_KIND = "backtest"


class BackTestRefused(ValueError):
    """The back-test was refused, with a sentence for the person who requested it."""


def request_backtest(draft: MappingDraft, event_count: int, author: ActingPerson, reason: str) -> BackTest:
    """Create a back-test of 10 to 1,000 events and submit its job. Raises BackTestRefused.

    The audit log keeps the reason, as the counts of a back-test say something about stored contents.
    """
    if not MIN_EVENTS <= event_count <= MAX_EVENTS:
        raise BackTestRefused(
            _("Choose between %(least)s and %(limit)s events.")
            % {"least": MIN_EVENTS, "limit": f"{MAX_EVENTS:,}"}
        )
    with transaction.atomic():
        draft = MappingDraft.objects.select_for_update().get(pk=draft.pk)
        if draft.state != DraftState.OPEN:
            raise BackTestRefused(_("This draft no longer exists."))
        if draft.backtests.filter(state__in=OPEN_STATES).exists():
            raise BackTestRefused(_("A back-test of this draft is already running."))
        backtest = BackTest(draft=draft, base=current_version(draft.mapping), requested_count=event_count)
        backtest.requested_by_id, backtest.requested_at = author.user.pk, timezone.now()
        backtest.save(force_insert=True)
        submission.submit_job(_KIND, backtest.pk)
        details = {
            "backtest": str(backtest.uuid),
            "draft": draft.pk,
            "events": event_count,
            "reason": reason,
            "address": author.address,
        }
        append_entries(NewEntry(draft.mapping.stream, "mapping.backtested", author.actor, details))
    return backtest


def run_in_request(backtest: BackTest, seconds: float = REQUEST_SECONDS) -> bool:
    """Run a back-test within a request, for at most `seconds`. Returns False if a worker has it, or it has
    ended.
    """
    job = claim_job_of(BACK_TEST, backtest.pk)
    if job is None:
        return False
    with suppress(JobLost):
        _run_within(seconds, job, always_continue)
    return True


def _run_within(seconds: float, job: RunningJob, should_continue: ShouldContinue) -> None:
    """Run a back-test for at most `seconds`. Its end is written in one transaction with its job's. Raises
    JobLost, JobStopped.
    """
    try:
        backtest = BackTest.objects.select_related("draft", "base").get(pk=job.subject)
        _run_backtest(backtest, job, time.monotonic() + seconds, should_continue)
    except (JobLost, JobStopped, DatabaseError):
        raise
    except Exception:
        logger.exception("back-test %s failed", job.subject)
        with transaction.atomic():
            _record_job_state(job.subject, JobState.FAILED, "")
            job.fail("An internal error. An administrator can find it in the log.")


def _record_job_state(key: int, state: JobState, _failure: str) -> None:
    """Copy the state of the job to its back-test."""
    ended_at = timezone.now() if state == JobState.FAILED else None
    BackTest.objects.filter(pk=key, state__in=OPEN_STATES).update(state=state, ended_at=ended_at)


@dataclass
class BackTestResult:
    """Counts and examples of a back-test so far."""

    read_count: int = 0
    newest_at: datetime | None = None
    oldest_at: datetime | None = None
    counts: Counter[str] = field(default_factory=Counter)
    untestable: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)
    over_budget_count: int = 0

    @property
    def tested_count(self) -> int:
        return self.counts.total()

    def add_untestable(self, past_event: PastEvent) -> None:
        """Count an event that cannot be tested."""
        self._count_event(past_event)
        self.untestable[str(past_event.reason)] += 1

    def add_comparison(self, past_event: PastEvent, comparison: MappingComparison) -> None:
        """Count a comparison, and keep it as an example if it shows something new."""
        self._count_event(past_event)
        is_new = any(name not in self.fields for name in comparison.affected_fields)
        self.counts[str(comparison.outcome)] += 1
        self.fields.update(comparison.affected_fields)
        self.over_budget_count += comparison.before.is_over_budget + comparison.after.is_over_budget
        is_example = comparison.outcome not in (ComparisonOutcome.SAME, ComparisonOutcome.FAILS_BOTH)
        has_few = self.counts[str(comparison.outcome)] <= EXAMPLES_PER_OUTCOME
        if is_example and (has_few or is_new) and len(self.examples) < MAX_EXAMPLES:
            self.examples.append(
                {
                    "event": past_event.event.pk,
                    "outcome": str(comparison.outcome),
                    "fields": list(comparison.affected_fields),
                }
            )

    def _count_event(self, past_event: PastEvent) -> None:
        self.read_count += 1
        self.newest_at = self.newest_at or past_event.event.received_at
        self.oldest_at = past_event.event.received_at

    def to_columns(self) -> dict[str, Any]:
        """Return the column values of the back-test's row."""
        return {
            "read_count": self.read_count,
            "newest_at": self.newest_at,
            "oldest_at": self.oldest_at,
            "counts": dict(self.counts),
            "untestable": dict(self.untestable),
            "fields": dict(self.fields.most_common()),
            "examples": self.examples,
        }


def parse_both_mappings(backtest: BackTest) -> tuple[ParsedMapping | None, ParsedMapping]:
    """Parse the version that was in force when the back-test was requested, and the draft."""
    base = None if backtest.base is None else parse_mapping(backtest.base.declaration)
    return base, parse_mapping(backtest.draft.declaration)


def routes_using_mapping(mapping_id: int) -> list[Route]:
    """Return the routes of a mapping, disabled ones too: their events were real."""
    return list(Route.objects.filter(mapping=mapping_id).select_related("source", "identity", "target"))


def _run_backtest(backtest: BackTest, job: RunningJob, until: float, should_continue: ShouldContinue) -> None:
    current, draft = parse_both_mappings(backtest)
    result, chunks = BackTestResult(), past_event_chunks(routes_using_mapping(backtest.draft.mapping_id))
    chunk, ended_by = next(chunks, None), ""
    while not ended_by:
        if not should_continue():
            raise JobStopped
        ended_by = _compare_chunk(chunk, result, current, draft, backtest.requested_count)
        if not ended_by and time.monotonic() >= until:
            ended_by = "time"
        if not ended_by and (chunk := next(chunks, None)) is None:
            ended_by = "no-more"
        # Result and job in one transaction, so that a worker that lost the job writes nothing.
        with transaction.atomic():
            ended = _end_columns(ended_by) if ended_by else {}
            BackTest.objects.filter(pk=backtest.pk).update(**result.to_columns(), **ended)
            (job.finish if ended_by else job.renew_lease)()


def _end_columns(by: str) -> dict[str, Any]:
    return {"state": BackTestState.DONE, "ended_by": by, "ended_at": timezone.now()}


def _compare_chunk(
    chunk: list[PastEvent] | None,
    result: BackTestResult,
    current: ParsedMapping | None,
    draft: ParsedMapping,
    requested_count: int,
) -> str:
    """Compare the events of a chunk. Returns the reason to end here, empty if there is none."""
    if chunk is None:
        return "no-more"
    for past_event in chunk:
        if past_event.mapping_input is None:
            result.add_untestable(past_event)
            continue
        result.add_comparison(past_event, compare_mappings(current, draft, past_event.mapping_input))
        if result.tested_count >= requested_count:
            return "enough"
        if result.over_budget_count >= MAX_OVER_BUDGET:
            return "over-budget"
    return ""


BACK_TEST = JobKind(_KIND, partial(_run_within, WORKER_SECONDS), _record_job_state)
