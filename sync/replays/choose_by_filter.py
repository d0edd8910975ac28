"""The set of a bulk replay that was chosen by the event list's filter: begun by a request, gone on with by a worker."""

import logging
from collections.abc import Mapping
from contextlib import suppress

from django.contrib.auth.models import AbstractBaseUser
from django.utils import timezone

from sync.jobs.claims import claim_job_of
from sync.jobs.running_job import JobKind, JobLost, JobStopped, RunningJob, ShouldContinue
from sync.models import JobState, Replay
from sync.replays.event_set import KIND, TooMany, begin_choice, delete_set, discard, discard_old, fill
from sync.search.event_filter import EventFilter, resolve
from webhooks.models import Event

logger = logging.getLogger("hub.replays")

_REQUEST_SECONDS = 3.0
_RUN_SECONDS = 5.0


def freeze_filter(by: AbstractBaseUser, words: Mapping[str, str]) -> Replay:
    """A set of the events that these words mean at this moment. What a few seconds are too short for, a worker goes on
    with. `NoSuchFilter`; `TooMany`.
    """
    meant = resolve(words, timezone.now())
    replay = begin_choice(by, meant.words())
    job = claim_job_of(EVENT_SET, replay.pk)
    if job is None:  # a worker was faster
        return replay
    try:
        with suppress(JobLost):
            if not fill(replay, meant.narrow(Event.objects.all()), _REQUEST_SECONDS, job):
                job.hand_back()
    except TooMany:
        discard(replay)
        raise
    return replay


def meaning(replay: Replay) -> EventFilter:
    """The filter that a set was chosen by."""
    return resolve(replay.filter or {}, timezone.now())


def _run(job: RunningJob, goes_on: ShouldContinue) -> None:
    """Go on with a set until it is frozen. `JobLost`, `JobStopped`."""
    replay = Replay.objects.get(pk=job.subject)
    matching = meaning(replay).narrow(Event.objects.all())
    try:
        while not fill(replay, matching, _RUN_SECONDS, job):
            if not goes_on():
                raise JobStopped
    except TooMany:
        logger.info("%s matched too many events, and holds none", replay)


def _follow(key: int, state: JobState, _failure: str) -> None:
    """Delete a set that was given up: its page says that the events have to be chosen again."""
    if state == JobState.FAILED:
        for replay in Replay.objects.filter(pk=key):
            delete_set(replay)


EVENT_SET = JobKind(KIND, _run, _follow, tidy_up=discard_old)
