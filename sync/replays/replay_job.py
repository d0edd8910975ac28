"""The job of a bulk replay that was started: a step a second, until all that was sent has ended.

Who starts it, lets it go on or stops it submits the job (`decisions`), so that one that is left paused costs nothing.
"""

from django.db import transaction

from sync.jobs.running_job import JobKind, RunningJob, ShouldContinue
from sync.models import JobState, Replay, ReplayPauseReason, ReplayState
from sync.replays.batches import send_due_events
from sync.replays.decisions import KIND
from sync.replays.replay_progress import end_replay, pause_automatically, record_results

STEP_SECONDS = 1.0
PAUSED_STEP_SECONDS = 3600.0
_UNDER_WAY = (ReplayState.RUNNING, ReplayState.PAUSED, ReplayState.STOPPING)


def _run_step(job: RunningJob, _goes_on: ShouldContinue) -> None:
    """Do one step, which takes no longer than a moment.

    1. Note what became of the events that were sent: that may pause or finish the replay.
    2. Send what its pace allows.
    3. End the job with the replay, or come again in a second; in an hour, if it is paused and nothing is under way.
    """
    record_results(job)
    send_due_events(job)
    with transaction.atomic():
        replay = (
            Replay.objects.select_for_update(no_key=True).filter(pk=job.subject, state__in=_UNDER_WAY).first()
        )
        if replay is None:
            job.finish()
        else:
            is_left = replay.state == ReplayState.PAUSED and not replay.under_way_count
            job.hand_back(after=PAUSED_STEP_SECONDS if is_left else STEP_SECONDS)


def _handle_failed_job(key: int, state: JobState, _failure: str) -> None:
    """Of a job that was given up: pause its replay, so that a person decides; end one that was stopped anyway."""
    if state != JobState.FAILED:
        return
    for replay in Replay.objects.select_for_update(no_key=True).filter(pk=key):
        if replay.state == ReplayState.RUNNING:
            pause_automatically(replay, ReplayPauseReason.CRASHING)
        elif replay.state == ReplayState.STOPPING:
            end_replay(replay, ReplayState.STOPPED)


REPLAY = JobKind(KIND, _run_step, _handle_failed_job)
