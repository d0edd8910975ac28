"""Back-tests as people and workers see them: asked for, run here where they are small, else by a worker.

Only what the hub keeps is read. A run that was cut off is begun anew by the next worker: it changes nothing but its
own row.
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

from audit.entries.append import NewEntry, append_entries
from sync.jobs import submission
from sync.jobs.claims import claim_job_of
from sync.jobs.job_execution import always_continue
from sync.jobs.running_job import JobKind, JobLost, JobStopped, RunningJob, ShouldContinue
from sync.mappings.drafts import Author, current_of
from sync.mappings.past_entities import Kept, kept_chunks
from sync.models import BackTest, BackTestState, DraftState, JobState, MappingDraft, Route
from sync.planning.mapping import ParsedMapping, parse_mapping
from sync.planning.mapping_comparison import ComparisonOutcome, MappingComparison, compare_mappings

logger = logging.getLogger("hub.backtests")

FEWEST, MOST = 10, 1_000
AT_ONCE = 200  # more than these are for a worker
HERE_SECONDS, WORKER_SECONDS = 20.0, 600.0
EXAMPLES_OF_EACH, MOST_EXAMPLES = 5, 40
OPEN = (BackTestState.WAITING, BackTestState.RUNNING)
_KIND = "backtest"


class NotTestable(ValueError):
    """Why no back-test was begun, in a sentence for the person who asked."""


def ask(draft: MappingDraft, wanted: int, author: Author) -> BackTest:
    """A back-test of so many events, 10 to 1,000, that waits. `NotTestable`."""
    if not FEWEST <= wanted <= MOST:
        raise NotTestable(f"Choose between {FEWEST} and {MOST:,} events.")
    with transaction.atomic():
        draft = MappingDraft.objects.select_for_update().get(pk=draft.pk)
        if draft.state != DraftState.OPEN:
            raise NotTestable("This draft is not open any more.")
        if draft.backtests.filter(state__in=OPEN).exists():
            raise NotTestable("A back-test of this draft is under way already.")
        made = BackTest(draft=draft, base=current_of(draft.mapping), wanted=wanted)
        made.asked_by_id, made.asked_at = author.user.pk, timezone.now()
        made.save(force_insert=True)
        submission.submit_job(_KIND, made.pk)
        details = {"backtest": str(made.uuid), "draft": draft.pk, "events": wanted, "address": author.address}
        append_entries(
            NewEntry(draft.mapping.stream, "mapping.backtested", f"person:{author.user.pk}", details)
        )
    return made


def run_here(backtest: BackTest, seconds: float = HERE_SECONDS) -> bool:
    """Run it while somebody waits, within so many seconds. Returns False if a worker has it, or it has ended."""
    job = claim_job_of(BACK_TEST, backtest.pk)
    if job is None:
        return False
    with suppress(JobLost):
        _run_within(seconds, job, always_continue)
    return True


def _run_within(seconds: float, job: RunningJob, goes_on: ShouldContinue) -> None:
    """Run it for so many seconds at most. Its end is written with the job's. `JobLost`, `JobStopped`."""
    try:
        backtest = BackTest.objects.select_related("draft", "base").get(pk=job.subject)
        _run(backtest, job, time.monotonic() + seconds, goes_on)
    except (JobLost, JobStopped, DatabaseError):
        raise
    except Exception:
        logger.exception("back-test %s failed", job.subject)
        with transaction.atomic():
            _follow(job.subject, JobState.FAILED, "")
            job.fail("An error of the hub itself; its log has it.")


def _follow(key: int, state: JobState, _failure: str) -> None:
    """Say on a back-test that its job waits, runs, or was given up."""
    ended_at = timezone.now() if state == JobState.FAILED else None
    BackTest.objects.filter(pk=key, state__in=OPEN).update(state=state, ended_at=ended_at)


@dataclass
class Tally:
    """What has come out so far."""

    looked_at: int = 0
    newest_at: datetime | None = None
    oldest_at: datetime | None = None
    counts: Counter[str] = field(default_factory=Counter)
    untestable: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def tested(self) -> int:
        return self.counts.total()

    def skip(self, kept: Kept) -> None:
        """An event of which nothing can be said."""
        self._look(kept)
        self.untestable[str(kept.reason)] += 1

    def add(self, kept: Kept, compared: MappingComparison) -> None:
        """An event that was tested."""
        self._look(kept)
        is_new = any(name not in self.fields for name in compared.affected_fields)
        self.counts[str(compared.outcome)] += 1
        self.fields.update(compared.affected_fields)
        shown = compared.outcome not in (ComparisonOutcome.SAME, ComparisonOutcome.FAILS_BOTH)
        few = self.counts[str(compared.outcome)] <= EXAMPLES_OF_EACH
        if shown and (few or is_new) and len(self.examples) < MOST_EXAMPLES:
            self.examples.append(
                {
                    "event": kept.event.pk,
                    "outcome": str(compared.outcome),
                    "fields": list(compared.affected_fields),
                }
            )

    def _look(self, kept: Kept) -> None:
        self.looked_at += 1
        self.newest_at = self.newest_at or kept.event.received_at
        self.oldest_at = kept.event.received_at

    def values(self) -> dict[str, Any]:
        """As the row keeps it."""
        return {
            "looked_at": self.looked_at,
            "newest_at": self.newest_at,
            "oldest_at": self.oldest_at,
            "counts": dict(self.counts),
            "untestable": dict(self.untestable),
            "fields": dict(self.fields.most_common()),
            "examples": self.examples,
        }


def mappings_of(backtest: BackTest) -> tuple[ParsedMapping | None, ParsedMapping]:
    """The version in force when it was asked for, and the draft."""
    base = None if backtest.base is None else parse_mapping(backtest.base.declaration)
    return base, parse_mapping(backtest.draft.declaration)


def routes_of(mapping_id: int) -> list[Route]:
    """Where a mapping is used; disabled routes too: their events were real."""
    return list(Route.objects.filter(mapping=mapping_id).select_related("source", "identity", "commercial"))


def _run(backtest: BackTest, job: RunningJob, until: float, goes_on: ShouldContinue) -> None:
    current, draft = mappings_of(backtest)
    tally, chunks = Tally(), kept_chunks(routes_of(backtest.draft.mapping_id))
    chunk, ended_by = next(chunks, None), ""
    while not ended_by:
        if not goes_on():
            raise JobStopped
        ended_by = _take(chunk, tally, current, draft, backtest.wanted)
        if not ended_by and time.monotonic() >= until:
            ended_by = "time"
        if not ended_by and (chunk := next(chunks, None)) is None:
            ended_by = "no-more"
        with transaction.atomic():
            ended = _ended(ended_by) if ended_by else {}
            BackTest.objects.filter(pk=backtest.pk).update(**tally.values(), **ended)
            (job.finish if ended_by else job.renew_lease)()


def _ended(by: str) -> dict[str, Any]:
    return {"state": BackTestState.DONE, "ended_by": by, "ended_at": timezone.now()}


def _take(
    chunk: list[Kept] | None,
    tally: Tally,
    current: ParsedMapping | None,
    draft: ParsedMapping,
    wanted: int,
) -> str:
    """Compare the events of a chunk; why it ends here, where it does."""
    if chunk is None:
        return "no-more"
    for kept in chunk:
        if kept.given is None:
            tally.skip(kept)
            continue
        tally.add(kept, compare_mappings(current, draft, kept.given))
        if tally.tested >= wanted:
            return "enough"
    return ""


BACK_TEST = JobKind(_KIND, partial(_run_within, WORKER_SECONDS), _follow)
