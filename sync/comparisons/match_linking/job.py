"""The job that links all records of a comparison that were found by a value which is verified, equal and unique.

First a preview, which links nothing: plan each subject anew, with reads only; then read the list of the identity
service to its end. When a person has applied it, the same again in the other order, with a link for each subject that
is still certain. It may be killed anywhere.
"""

import logging
from collections import Counter

from django.db import transaction
from django.utils import timezone

from audit.entries.append import SYSTEM
from connectors.contracts.errors import ConnectorError
from sync.background_reads.paced_recorder import ReadsWait
from sync.comparisons.confirmation.confirmation_run import SystemsUnavailable
from sync.comparisons.match_linking.linking_run import LinkingRun, append_ended_entry
from sync.comparisons.match_linking.requests import KIND, delete_members, delete_old_linkings
from sync.comparisons.match_linking.stages import link_all, prepare_preview
from sync.comparisons.sides.comparison_run import ComparisonFailed
from sync.jobs.running_job import JobKind, RunningJob, ShouldContinue
from sync.models import OPEN_MATCH_LINKING_STATES, Job, JobState, MatchLinking, MatchLinkingState

logger = logging.getLogger("hub.jobs")

# A system that cannot be read so often in a row ends the run.
MAX_FAILURES = 10
_MAX_WAIT_SECONDS = 600.0
_CRASHED = "internal-failure"


def _run_job(job: RunningJob, should_continue: ShouldContinue) -> None:
    """Continue a run where it was interrupted. Raises JobLost, JobStopped."""
    related = ("comparison__route__source", "comparison__identity", "comparison__target")
    linking = MatchLinking.objects.select_related(*related).get(pk=job.subject)
    run = LinkingRun(linking, job, should_continue)
    run.counts, run.position = Counter(linking.counts), dict(linking.position)
    try:
        (prepare_preview if run.is_preview else link_all)(run)
    except ReadsWait as waits:
        _wait(run, waits.code, waits.seconds, is_failure=waits.is_failure)
    except SystemsUnavailable as unavailable:
        _wait(run, unavailable.code, unavailable.seconds)
    except ConnectorError as error:
        # Settings with which no request can be made.
        _wait(run, error.code, error.retry_after or 0.0)
    except ComparisonFailed as failed:
        _fail(run, failed.code)


def _wait(run: LinkingRun, code: str, seconds: float, *, is_failure: bool = True) -> None:
    """Let the job run again later; end the run if a system could not be read MAX_FAILURES times in a row."""
    if not is_failure:
        run.job.requeue(after=max(1.0, seconds))
        return
    errors = Job.objects.filter(pk=run.job.job_id).values_list("errors", flat=True).first() or 0
    if errors + 1 >= MAX_FAILURES:
        _fail(run, code)
        return
    logger.info("match linking %s waits: %s", run.linking.pk, code)
    MatchLinking.objects.filter(pk=run.linking.pk, state=run.linking.state).update(problem=code[:48])
    run.job.postpone(min(max(1.0, seconds) * 2**errors, _MAX_WAIT_SECONDS))


def _fail(run: LinkingRun, code: str) -> None:
    """End a run that cannot be carried out, and its job. Records that are linked already stay so."""
    with transaction.atomic():
        run.lock()
        run.commit(state=MatchLinkingState.FAILED, problem=code[:48], ended_at=timezone.now())
        append_ended_entry(run.linking, run.actor)
        run.job.fail(code)
    delete_members(run.linking)


def _record_job_state(key: int, state: JobState, _failure: str) -> None:
    """End the run if its job failed."""
    if state != JobState.FAILED:
        return
    rows = MatchLinking.objects.filter(pk=key, state__in=OPEN_MATCH_LINKING_STATES)
    if rows.update(state=MatchLinkingState.FAILED, ended_at=timezone.now(), problem=_CRASHED):
        append_ended_entry(MatchLinking.objects.select_related("comparison").get(pk=key), SYSTEM)


MATCH_LINKING = JobKind(KIND, _run_job, _record_job_state, clean_up=delete_old_linkings)
