"""Job of a started bulk replay: short steps, until all sent events have ended.

Starting, resuming and stopping submit the job (`decisions`), so a replay that stays paused costs nothing.
"""

from django.db import transaction

from sync.jobs.running_job import JobKind, RunningJob, ShouldContinue
from sync.models import JobState, PersonRequest, PersonRequestState, ReplayPauseReason
from sync.replays.batches import send_due_events
from sync.replays.decisions import KIND
from sync.replays.replay_progress import end_replay, pause_automatically, record_results

STEP_SECONDS = 1.0
# While nothing is sent or runs, and only retries are ahead.
RETRY_STEP_SECONDS = 10.0
# Resuming and stopping submit the job again, so a paused replay needs no frequent step.
PAUSED_STEP_SECONDS = 3600.0
_UNDER_WAY = (PersonRequestState.RUNNING, PersonRequestState.PAUSED, PersonRequestState.STOPPING)


def _run_step(job: RunningJob, _should_continue: ShouldContinue) -> None:
    """Run one short step.

    1. Record the results of sent events: that may pause or finish the replay.
    2. Send what its pace allows.
    3. Finish the job with the replay, or run again in a second; later, if only retries are ahead, and in an hour, if
       it is paused and nothing is open.
    """
    record_results(job)
    send_due_events(job)
    with transaction.atomic():
        replay = (
            PersonRequest.objects.select_for_update(no_key=True)
            .filter(pk=job.subject, state__in=_UNDER_WAY)
            .first()
        )
        if replay is None:
            job.finish()
        else:
            job.requeue(after=_step_delay(replay))


def _step_delay(replay: PersonRequest) -> float:
    """Return the seconds until the next step of a replay that is under way."""
    is_sending = replay.state == PersonRequestState.RUNNING and replay.waiting_count > 0
    if replay.in_progress_count or is_sending:
        return STEP_SECONDS
    if replay.retrying:
        return RETRY_STEP_SECONDS
    return PAUSED_STEP_SECONDS if replay.state == PersonRequestState.PAUSED else STEP_SECONDS


def _handle_failed_job(key: int, state: JobState, _failure: str) -> None:
    """Pause the replay of a job that was given up, so that a person decides; end a replay that was being
    stopped.
    """
    if state != JobState.FAILED:
        return
    for replay in PersonRequest.objects.select_for_update(no_key=True).filter(pk=key):
        if replay.state == PersonRequestState.RUNNING:
            pause_automatically(replay, ReplayPauseReason.CRASHING)
        elif replay.state == PersonRequestState.STOPPING:
            end_replay(replay, PersonRequestState.STOPPED)


REPLAY = JobKind(KIND, _run_step, _handle_failed_job)
