"""What people do with a bulk replay: start, approve or decline, pause, let go on, stop. Each by compare-and-set, with
its audit entry in the same commit; what was done already is not done twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from database.clock import database_now
from sync.jobs import submission
from sync.models import Replay, ReplayPace, ReplayPauseReason, ReplayState
from sync.replays.requests import AlreadyRequested, NotReplayable, stated

KIND = "replay"  # of the job that works a replay off
_UNDER_WAY = (ReplayState.RUNNING, ReplayState.PAUSED)
_HAS_WORK = (ReplayState.RUNNING, ReplayState.STOPPING)
_SAID = frozenset({"state", "event_type", "entity_type", "source", "received_from", "received_to", "code"})


@dataclass(frozen=True, slots=True)
class Person:
    """Who decides, and from where."""

    user: AbstractBaseUser
    address: str = ""

    @property
    def actor(self) -> str:
        """As the audit log names people."""
        return f"person:{self.user.pk}"


@dataclass(frozen=True, slots=True)
class Terms:
    """How a replay is worked off. `limit`: what this person may send without a second one."""

    reason: str
    pace: ReplayPace = ReplayPace.GENTLE
    pauses_by_itself: bool = True
    limit: int = 0


def start(replay: Replay, person: Person, terms: Terms) -> Replay:
    """Let a frozen set be sent, or ask for a second person where it is larger than the limit.

    `AlreadyRequested` where it was started before; `NotReplayable` without a reason, for somebody else's set, and where
    nothing of it can be sent.
    """
    reason = stated(terms.reason)
    if replay.requested_by_id != person.user.pk:
        raise NotReplayable("This choice is somebody else's.")
    if replay.state == ReplayState.CHOOSING:
        raise NotReplayable("The events are still being counted.")
    if replay.state == ReplayState.CHOSEN and not replay.waiting_count:
        raise NotReplayable("Nothing of this can be sent again.")
    needs_second = replay.waiting_count > terms.limit
    state = ReplayState.AWAITING if needs_second else ReplayState.RUNNING
    changes = {
        "reason": reason,
        "pace": terms.pace,
        "pauses_above": settings.REPLAY_PAUSES_ABOVE if terms.pauses_by_itself else None,
        "started_at": timezone.now(),
        "due_at": database_now(),
    }
    details: Mapping[str, JSONValue] = {
        "of": replay.total,
        "sent": replay.waiting_count,
        "pace": str(terms.pace),
        "filter": _without_people(replay.filter),
        "limit": terms.limit,
    }
    action = "replay.awaits-approval" if needs_second else "replay.started"
    done = NewEntry(replay.stream, action, person.actor, _at(person, details))
    if not _move(replay, (ReplayState.CHOSEN,), state, changes, done):
        raise AlreadyRequested("This was started already; nothing was started twice.")
    return replay


def approve(replay: Replay, person: Person) -> bool:
    """A second person lets it begin; whether it waited for that. `NotReplayable` for the one who asked for it."""
    _is_second(replay, person)
    changes = {"decided_by_id": person.user.pk, "decided_at": timezone.now(), "due_at": database_now()}
    done = NewEntry(
        replay.stream, "replay.approved", person.actor, _at(person, {"sent": replay.waiting_count})
    )
    return _move(replay, (ReplayState.AWAITING,), ReplayState.RUNNING, changes, done)


def decline(replay: Replay, person: Person) -> bool:
    """Nothing of it is sent; whether it waited for approval. Who asked for it may withdraw it so."""
    now = timezone.now()
    changes: dict[str, object] = {"ended_at": now, "paused_by_id": person.user.pk}
    if replay.requested_by_id != person.user.pk:
        changes |= {"decided_by_id": person.user.pk, "decided_at": now}
    done = NewEntry(replay.stream, "replay.declined", person.actor, _at(person, {}))
    return _move(replay, (ReplayState.AWAITING,), ReplayState.STOPPED, changes, done)


def pause(replay: Replay, person: Person) -> bool:
    """Nothing more is sent until somebody lets it go on; what is under way ends. Whether it ran."""
    changes = {"paused": ReplayPauseReason.PERSON, "paused_by_id": person.user.pk}
    done = NewEntry(
        replay.stream, "replay.paused", person.actor, _at(person, {"why": str(ReplayPauseReason.PERSON)})
    )
    return _move(replay, (ReplayState.RUNNING,), ReplayState.PAUSED, changes, done)


def go_on(replay: Replay, person: Person, pace: ReplayPace) -> bool:
    """Let a paused one go on at this pace; whether it was paused. What failed before counts no more for pausing."""
    changes = {
        "paused": "",
        "paused_by_id": None,
        "pace": pace,
        "due_at": database_now(),
        "seen_ended": F("succeeded") + F("failed") + F("held"),
        "seen_failed": F("failed"),
    }
    done = NewEntry(replay.stream, "replay.continued", person.actor, _at(person, {"pace": str(pace)}))
    return _move(replay, (ReplayState.PAUSED,), ReplayState.RUNNING, changes, done)


def stop(replay: Replay, person: Person) -> bool:
    """Nothing more is sent, ever; whether it was under way. What was sent ends by itself."""
    changes = {"paused_by_id": person.user.pk, "due_at": None, "ended_at": timezone.now()}
    done = NewEntry(replay.stream, "replay.stopped", person.actor, _at(person, {}))
    return _move(replay, _UNDER_WAY, ReplayState.STOPPING, changes, done)


def _is_second(replay: Replay, person: Person) -> None:
    if replay.requested_by_id == person.user.pk:
        raise NotReplayable("A second person approves: you asked for this yourself.")


def _move(
    replay: Replay,
    before: tuple[ReplayState, ...],
    after: ReplayState,
    changes: Mapping[str, object],
    happening: NewEntry,
) -> bool:
    """Compare-and-set with its entry; whether it happened."""
    with transaction.atomic():
        moved = Replay.objects.filter(pk=replay.pk, state__in=before).update(state=after, **changes)
        if moved and after in _HAS_WORK:
            submission.submit_job(KIND, replay.pk)
        if moved:
            append_entries(happening)
    replay.refresh_from_db()
    return bool(moved)


def _at(person: Person, details: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
    return {**details, "address": person.address}


def _without_people(words: Mapping[str, str] | None) -> dict[str, JSONValue] | None:
    """What a filter says, but for whom it names: on the audit log stands only that it names somebody."""
    if words is None:
        return None
    said: dict[str, JSONValue] = {name: value for name, value in words.items() if name in _SAID}
    return said | {name: True for name in words if name not in _SAID}
