"""Events that failed, and bulk replays of them, worked off as a worker would."""

import json
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

from django.contrib.auth.models import User

from sync.jobs.claims import claim_job_of
from sync.jobs.running_job import RunningJob
from sync.models import Job, Member, Replay, ReplayPace, ReplayState
from sync.replays.batches import send_due_events
from sync.replays.decisions import DecidingPerson, ReplayTerms, start_replay
from sync.replays.filter_selection import select_by_filter
from sync.replays.replay_job import REPLAY
from sync.replays.replay_progress import record_results
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from webhooks.models import Event, State

WHY = "the shop refused everybody on Tuesday"


def staff(name: str = "") -> User:
    return User.objects.create_user(name or f"staff-{uuid4().hex[:8]}")


def a_user(hub: Hub, name: str) -> str:
    emails = [{"address": f"{name.lower()}@example.com", "verified": True}]
    hub.identity.directory.create_record("users", {"id": name, "username": name.lower(), "emails": emails})
    return name


def tell(hub: Hub, user: str, event_type: str = "UPDATE") -> Event:
    """A webhook about somebody; its event."""
    before = set(Event.objects.values_list("pk", flat=True))
    hub.post(json.dumps({"id": user, "entityType": "USER", "eventType": event_type}).encode())
    return Event.objects.exclude(pk__in=before).get()


def failed(hub: Hub, *users: str) -> list[Event]:
    """An event of each that the shop refused; it refuses nothing any more."""
    fault = hub.shop.faults.add("refuse")
    events = [_tell_of_a_new_address(hub, user) for user in users]
    hub.shop.faults.clear(fault.id)
    assert {event.state for event in events} == {State.DEAD}
    return events


def _tell_of_a_new_address(hub: Hub, user: str) -> Event:
    hub.change_email(f"{user.lower()}.{uuid4().hex[:8]}@example.com", user)
    return tell(hub, user)


def failed_people(hub: Hub, count: int) -> list[Event]:
    """Customers of the shop, each of whom changed the address, and was refused."""
    names = [a_user(hub, f"PERSON{number}") for number in range(count)]
    for name in names:
        hub.shop.catalogue.create_record(
            "customers", {"external_id": name, "email": f"{name.lower()}@old.example.com"}
        )
    return failed(hub, *names)


def frozen(by: User, **words: str) -> Replay:
    """What failed, frozen, unless other words say what."""
    return select_by_filter(by, words or {"state": "dead"})


def started(by: User, replay: Replay | None = None, **terms: object) -> Replay:
    values = {"reason": WHY, "pace": ReplayPace.NORMAL, "approval_limit": 500} | terms
    return start_replay(replay or frozen(by), DecidingPerson(by, "192.0.2.5"), ReplayTerms(**values))


def work(replay: Replay, *until: ReplayState, seconds: float = 20.0) -> Replay:
    """Look as often as it takes until it stands there; finished, where nothing else is said."""
    wanted = until or (ReplayState.FINISHED,)
    end = time.monotonic() + seconds
    while True:
        run_jobs("event-set", "replay")
        replay.refresh_from_db()
        if replay.state in wanted:
            return replay
        assert time.monotonic() < end, f"it is {replay.state}: {states(replay)}"
        time.sleep(0.02)


def send_due() -> int:
    """Send what is due of the replays that run. Returns how many deliveries that are."""
    return sum(_with_each_job(send_due_events))


def note_all_ends() -> int:
    """Note what became of what was sent. Returns how many members have ended."""
    return sum(_with_each_job(record_results))


def _with_each_job(do: Callable[[RunningJob], int]) -> Iterator[int]:
    """As one worker: a replay whose job another one runs is left out."""
    for key in Job.objects.filter(kind="replay").order_by("pk").values_list("subject", flat=True):
        job = claim_job_of(REPLAY, key)
        if job is None:
            continue
        try:
            yield do(job)
        finally:
            job.hand_back()


def states(replay: Replay) -> dict[str, str]:
    """By entity, what became of its member; `state: why` where there is a why."""
    rows = Member.objects.filter(replay=replay).values_list("event__entity_id", "state", "why")
    return {entity: f"{state}: {why}" if why else state for entity, state, why in rows}
