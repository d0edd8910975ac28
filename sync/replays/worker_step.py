"""The job of a bulk replay that was started: a step a second, until all that was sent has ended.

Who starts it, lets it go on or stops it submits the job (`decisions`), so that one that is left paused costs nothing.
"""

from django.db import transaction

from sync.jobs.running_job import JobKind, RunningJob, ShouldContinue
from sync.models import JobState, Replay, ReplayPauseReason, ReplayState
from sync.replays.batches import send_next
from sync.replays.decisions import KIND
from sync.replays.progress import end, note_ends, pause

STEP_SECONDS = 1.0
LEFT_PAUSED_SECONDS = 3600.0
_UNDER_WAY = (ReplayState.RUNNING, ReplayState.PAUSED, ReplayState.STOPPING)


def _run(job: RunningJob, _goes_on: ShouldContinue) -> None:
    """Do one step, which takes no longer than a moment.

    1. Note what became of the events that were sent: that may pause or finish the replay.
    2. Send what its pace allows.
    3. End the job with the replay, or come again in a second; in an hour, if it is paused and nothing is under way.
    """
    note_ends(job)
    send_next(job)
    with transaction.atomic():
        replay = (
            Replay.objects.select_for_update(no_key=True).filter(pk=job.subject, state__in=_UNDER_WAY).first()
        )
        if replay is None:
            job.finish()
        else:
            is_left = replay.state == ReplayState.PAUSED and not replay.under_way_count
            job.hand_back(after=LEFT_PAUSED_SECONDS if is_left else STEP_SECONDS)


def _follow(key: int, state: JobState, _failure: str) -> None:
    """Of a job that was given up: pause its replay, so that a person decides; end one that was stopped anyway."""
    if state != JobState.FAILED:
        return
    for replay in Replay.objects.select_for_update(no_key=True).filter(pk=key):
        if replay.state == ReplayState.RUNNING:
            pause(replay, ReplayPauseReason.CRASHING)
        elif replay.state == ReplayState.STOPPING:
            end(replay, ReplayState.STOPPED)


REPLAY = JobKind(KIND, _run, _follow)
