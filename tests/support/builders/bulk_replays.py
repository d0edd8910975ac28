"""Failed events and bulk replays of them, run in this process as a worker would run them."""

import json
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

from django.contrib.auth.models import User

from audit.entries.acting_person import ActingPerson
from logins.held_permissions import APPROVE_REPLAYS
from sync.jobs.claims import claim_job_of
from sync.jobs.running_job import RunningJob
from sync.models import Job, PersonRequest, PersonRequestMember, PersonRequestState, ReplayPace
from sync.replays.batches import send_due_events
from sync.replays.decisions import ReplayTerms, start_replay
from sync.replays.filter_selection import select_by_filter
from sync.replays.replay_job import REPLAY
from sync.replays.replay_progress import record_results
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from tests.support.people import hold_permissions_for_days
from webhooks.models import Event, State

REASON = "the shop refused everybody on Tuesday"


def staff_user(name: str = "") -> User:
    user = User.objects.create_user(name or f"staff-{uuid4().hex[:8]}")
    hold_permissions_for_days(user, APPROVE_REPLAYS)
    return user


def create_person(hub: Hub, name: str) -> str:
    emails = [{"address": f"{name.lower()}@example.com", "verified": True}]
    hub.identity.directory.create_record("users", {"id": name, "username": name.lower(), "emails": emails})
    return name


def send_webhook(hub: Hub, user: str, event_type: str = "UPDATE") -> Event:
    """Post a webhook about a user. Returns its event."""
    before = set(Event.objects.values_list("pk", flat=True))
    hub.post(json.dumps({"id": user, "entityType": "USER", "eventType": event_type}).encode())
    return Event.objects.exclude(pk__in=before).get()


def fail_events(hub: Hub, *users: str) -> list[Event]:
    """Create an event for each user that the shop refuses, then clear the fault. Returns the failed events."""
    fault = hub.shop.faults.add("refuse")
    events = [_tell_of_a_new_address(hub, user) for user in users]
    hub.shop.faults.clear(fault.id)
    assert {event.state for event in events} == {State.DEAD}
    return events


def _tell_of_a_new_address(hub: Hub, user: str) -> Event:
    hub.change_email(f"{user.lower()}.{uuid4().hex[:8]}@example.com", user)
    return send_webhook(hub, user)


def fail_customers(hub: Hub, count: int) -> list[Event]:
    """Create customers of the shop and a refused change of address for each. Returns the failed events."""
    names = [create_person(hub, f"PERSON{number}") for number in range(count)]
    for name in names:
        hub.shop.catalogue.create_record(
            "customers", {"external_id": name, "email": f"{name.lower()}@old.example.com"}
        )
    return fail_events(hub, *names)


def freeze_event_set(by: User, **words: str) -> PersonRequest:
    """Freeze the set of all failed events, or of those that the filter `words` selects."""
    return select_by_filter(by, words or {"state": "dead"})


def start_bulk_replay(by: User, replay: PersonRequest | None = None, **terms: object) -> PersonRequest:
    values = {"reason": REASON, "pace": ReplayPace.NORMAL, "approval_limit": 500} | terms
    return start_replay(replay or freeze_event_set(by), ActingPerson(by, "192.0.2.5"), ReplayTerms(**values))


def work_replay(replay: PersonRequest, *until: PersonRequestState, seconds: float = 20.0) -> PersonRequest:
    """Run its jobs until the replay has one of these states (finished, if none is given). Fails after `seconds`."""
    wanted = until or (PersonRequestState.FINISHED,)
    end = time.monotonic() + seconds
    while True:
        run_jobs("event-set", "replay")
        replay.refresh_from_db()
        if replay.state in wanted:
            return replay
        assert time.monotonic() < end, f"it is {replay.state}: {member_states(replay)}"
        time.sleep(0.02)


def send_all_due() -> int:
    """Send the due deliveries of all running replays. Returns their number."""
    return sum(_with_each_job(send_due_events))


def record_all_results() -> int:
    """Record the results of all running replays. Returns the number of members that have ended."""
    return sum(_with_each_job(record_results))


def _with_each_job(do: Callable[[RunningJob], int]) -> Iterator[int]:
    """Claim the job of each replay and yield what `do` returns for it; skip jobs that are claimed already."""
    for key in Job.objects.filter(kind="replay").order_by("pk").values_list("subject", flat=True):
        job = claim_job_of(REPLAY, key)
        if job is None:
            continue
        try:
            yield do(job)
        finally:
            job.requeue()


def member_states(replay: PersonRequest) -> dict[str, str]:
    """Return the state of each member by entity id, as `state: why` if there is a `why`."""
    rows = PersonRequestMember.objects.filter(person_request=replay).values_list(
        "event__entity_id", "state", "why"
    )
    return {entity: f"{state}: {why}" if why else state for entity, state, why in rows}
