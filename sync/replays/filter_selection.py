"""Select the members of a bulk replay: by the event list's filter, or by the kinds of a comparison's differences.

Begun in a request, resumed by a worker.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress

from django.contrib.auth.models import AbstractBaseUser
from django.utils import timezone

from sync.jobs.claims import claim_job_of
from sync.jobs.running_job import JobKind, JobLost, JobStopped, RunningJob, ShouldContinue
from sync.models import JobState, PersonRequest
from sync.replays.difference_selection import fill_from_differences
from sync.replays.event_selection import (
    KIND,
    TooManyEvents,
    begin_selection,
    delete_selection,
    discard_old_selections,
    discard_selection,
    fill_selection,
)
from sync.search.event_filter import EventFilter, resolve_filter
from webhooks.models import Event

logger = logging.getLogger("hub.replays")

_REQUEST_SECONDS = 3.0
_RUN_SECONDS = 5.0


def select_by_filter(by: AbstractBaseUser, params: Mapping[str, str]) -> PersonRequest:
    """Select the events that these parameters match now. A worker resumes after a few seconds.

    Raises InvalidFilter, TooManyEvents.
    """
    resolved = resolve_filter(params, timezone.now())
    replay = begin_selection(by, resolved.to_params())
    try:
        fill_briefly(replay)
    except TooManyEvents:
        # The person sees the error at once, so no empty selection has to explain it.
        discard_selection(replay)
        raise
    return replay


def fill_briefly(replay: PersonRequest) -> None:
    """Fill a selection that has begun for a few seconds, and leave the rest to a worker. Raises TooManyEvents."""
    job = claim_job_of(EVENT_SET, replay.pk)
    # A worker was faster.
    if job is None:
        return
    with suppress(JobLost):
        if not _fill(replay, _REQUEST_SECONDS, job):
            job.requeue()


def _fill(replay: PersonRequest, seconds: float, job: RunningJob) -> bool:
    if replay.makes_equal:
        return fill_from_differences(replay, seconds, job)
    return fill_selection(replay, filter_of(replay).apply_to(Event.objects.all()), seconds, job)


def filter_of(replay: PersonRequest) -> EventFilter:
    """Return the filter of a selection."""
    return resolve_filter(replay.filter or {}, timezone.now())


def _run_selection(job: RunningJob, should_continue: ShouldContinue) -> None:
    """Resume a selection until it is frozen. Raises JobLost, JobStopped."""
    replay = PersonRequest.objects.get(pk=job.subject)
    try:
        while not _fill(replay, _RUN_SECONDS, job):
            if not should_continue():
                raise JobStopped
    except TooManyEvents:
        logger.info("%s matched too many events; none were selected", replay)


def _delete_failed_selection(key: int, state: JobState, _failure: str) -> None:
    """Delete a selection whose job was given up; its page asks to select the events again."""
    if state == JobState.FAILED:
        for replay in PersonRequest.objects.filter(pk=key):
            delete_selection(replay)


EVENT_SET = JobKind(KIND, _run_selection, _delete_failed_selection, clean_up=discard_old_selections)
