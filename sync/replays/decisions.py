"""Decisions of people about a bulk replay: start, approve, decline, pause, resume, stop.

Each is a compare-and-set with its audit entry in the same commit; repeating one has no effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.acting_person import ActingPerson
from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from database.clock import database_now
from logins.held_permissions import APPROVE_REPLAYS
from logins.second_person import Decider, possible_deciders, why_not_second
from sync.jobs import submission
from sync.models import PersonRequest, PersonRequestState, ReplayPace, ReplayPauseReason
from sync.replays.difference_selection import selected_kinds
from sync.replays.entity_members import equalised_entries
from sync.replays.requests import ReplayAlreadyRequested, ReplayRefused, normalize_reason

# Kind of the job that sends a bulk replay.
KIND = "replay"
_UNDER_WAY = (PersonRequestState.RUNNING, PersonRequestState.PAUSED)
# The actions with which a request begins to send.
_BEGINS = ("replay.started", "replay.approved")
_HAS_WORK = (PersonRequestState.RUNNING, PersonRequestState.STOPPING)
# The other parameters may identify a person.
_LOGGED_PARAMS = frozenset(
    {"state", "event_type", "entity_type", "source", "received_from", "received_to", "code", "failure_group"}
)


@dataclass(frozen=True, slots=True)
class ReplayTerms:
    """Terms of a replay. `approval_limit`: number of events that this person may send without a second one."""

    reason: str
    pace: ReplayPace = ReplayPace.GENTLE
    pauses_automatically: bool = True
    approval_limit: int = 0


def start_replay(replay: PersonRequest, person: ActingPerson, terms: ReplayTerms) -> PersonRequest:
    """Start a frozen selection, or ask for approval if it is larger than the limit.

    Raises ReplayAlreadyRequested if it was started before, and ReplayRefused without a reason, for the
    selection of another person, or if none of its events can be sent.
    """
    reason = normalize_reason(terms.reason)
    if replay.requested_by_id != person.user.pk:
        raise ReplayRefused(_("This selection belongs to another user."))
    if replay.state == PersonRequestState.CHOOSING:
        raise ReplayRefused(_("The events are still being counted."))
    if replay.state == PersonRequestState.CHOSEN and not replay.waiting_count:
        raise ReplayRefused(_("None of these events can be sent again."))
    needs_second = replay.waiting_count > terms.approval_limit
    state = PersonRequestState.AWAITING if needs_second else PersonRequestState.RUNNING
    changes = {
        "reason": reason,
        "pace": terms.pace,
        "pauses_above": settings.REPLAY_PAUSES_ABOVE if terms.pauses_automatically else None,
        "started_at": timezone.now(),
        "due_at": database_now(),
    }
    details: Mapping[str, JSONValue] = {
        "of": replay.total,
        "sent": replay.waiting_count,
        "pace": str(terms.pace),
        "filter": None if replay.makes_equal else _loggable_filter(replay.filter),
        "limit": terms.approval_limit,
        **_pair_facts(replay),
    }
    action = "replay.awaits-approval" if needs_second else "replay.started"
    done = NewEntry(replay.stream, action, person.actor, _with_address(person, details))
    if not _change_state(replay, (PersonRequestState.CHOSEN,), state, changes, done):
        raise ReplayAlreadyRequested(_("This replay was already started. Nothing was started twice."))
    return replay


def approve_replay(replay: PersonRequest, person: ActingPerson) -> bool:
    """Approve a replay as a second person. Returns False if it did not wait for approval. Raises
    ReplayRefused for a person who cannot be the second one.
    """
    if why_not := why_not_approve(replay, person.user):
        raise ReplayRefused(why_not)
    changes = {"decided_by_id": person.user.pk, "decided_at": timezone.now(), "due_at": database_now()}
    done = NewEntry(
        replay.stream, "replay.approved", person.actor, _with_address(person, {"sent": replay.waiting_count})
    )
    return _change_state(replay, (PersonRequestState.AWAITING,), PersonRequestState.RUNNING, changes, done)


def decline_replay(replay: PersonRequest, person: ActingPerson) -> bool:
    """Decline a replay, or withdraw it as the person who requested it. Returns False if it did not wait for
    approval.
    """
    now = timezone.now()
    changes: dict[str, object] = {"ended_at": now, "paused_by_id": person.user.pk}
    # A withdrawal is not a decision of a second person; `a_second_person_approves` would refuse it.
    if replay.requested_by_id != person.user.pk:
        changes |= {"decided_by_id": person.user.pk, "decided_at": now}
    done = NewEntry(replay.stream, "replay.declined", person.actor, _with_address(person, {}))
    return _change_state(replay, (PersonRequestState.AWAITING,), PersonRequestState.STOPPED, changes, done)


def pause_replay(replay: PersonRequest, person: ActingPerson) -> bool:
    """Pause a replay; events in progress still end. Returns False if it was not running."""
    changes = {"pause_reason": ReplayPauseReason.PERSON, "paused_by_id": person.user.pk}
    done = NewEntry(
        replay.stream,
        "replay.paused",
        person.actor,
        _with_address(person, {"why": str(ReplayPauseReason.PERSON)}),
    )
    return _change_state(replay, (PersonRequestState.RUNNING,), PersonRequestState.PAUSED, changes, done)


def resume_replay(replay: PersonRequest, person: ActingPerson, pace: ReplayPace) -> bool:
    """Resume a paused replay at this pace. Returns False if it was not paused. Earlier failures no longer
    count for pausing.
    """
    changes = {
        "pause_reason": "",
        "paused_by_id": None,
        "pace": pace,
        "due_at": database_now(),
        "seen_tried": F("succeeded") + F("failed") + F("held") + F("retrying"),
        "seen_failed": F("first_failures"),
    }
    done = NewEntry(
        replay.stream, "replay.continued", person.actor, _with_address(person, {"pace": str(pace)})
    )
    return _change_state(replay, (PersonRequestState.PAUSED,), PersonRequestState.RUNNING, changes, done)


def stop_replay(replay: PersonRequest, person: ActingPerson) -> bool:
    """Stop a replay for good; events in progress still end. Returns False if it was not in progress."""
    changes = {"paused_by_id": person.user.pk, "due_at": None, "ended_at": timezone.now()}
    done = NewEntry(replay.stream, "replay.stopped", person.actor, _with_address(person, {}))
    return _change_state(replay, _UNDER_WAY, PersonRequestState.STOPPING, changes, done)


def why_not_approve(replay: PersonRequest, user: AbstractBaseUser) -> str:
    """Return a sentence that says why this person cannot approve the replay, or "" if they can."""
    if replay.requested_by_id == user.pk:
        return _("You requested this replay, so a second person must approve it.")
    return why_not_second(user.pk, replay.requested_by_id, APPROVE_REPLAYS, _requested_at(replay))


def who_can_approve(replay: PersonRequest) -> list[Decider]:
    """Return who can approve the replay, and from when: see `possible_deciders`."""
    return possible_deciders(replay.requested_by_id, APPROVE_REPLAYS, _requested_at(replay))


def _requested_at(replay: PersonRequest) -> datetime:
    return replay.started_at or replay.created_at


def _change_state(
    replay: PersonRequest,
    before: tuple[PersonRequestState, ...],
    after: PersonRequestState,
    changes: Mapping[str, object],
    entry: NewEntry,
) -> bool:
    """Change the state by compare-and-set and append the audit entry. Returns False if the state was another."""
    with transaction.atomic():
        moved = PersonRequest.objects.filter(pk=replay.pk, state__in=before).update(state=after, **changes)
        if moved and after in _HAS_WORK:
            submission.submit_job(KIND, replay.pk)
        if moved:
            append_entries(*_equalised_entries(replay, entry), entry)
    replay.refresh_from_db()
    return bool(moved)


def _equalised_entries(replay: PersonRequest, entry: NewEntry) -> list[NewEntry]:
    """Return the entry of its comparison when a request that makes differences equal begins to send."""
    if entry.action not in _BEGINS or not replay.makes_equal:
        return []
    details: Mapping[str, JSONValue] = {
        "person_request": str(replay.uuid),
        "of": replay.total,
        "sent": replay.waiting_count,
        **_pair_facts(replay),
    }
    return equalised_entries(replay.comparison, entry.actor, details)


def _pair_facts(replay: PersonRequest) -> dict[str, JSONValue]:
    """Return the route and the kinds of differences that a request makes equal; empty for any other."""
    return {"route": replay.route_id, "kinds": list(selected_kinds(replay))} if replay.makes_equal else {}


def _with_address(person: ActingPerson, details: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
    return {**details, "address": person.address}


def _loggable_filter(params: Mapping[str, str] | None) -> dict[str, JSONValue] | None:
    """Return a filter for the audit log. Parameters that may identify a person are reduced to true."""
    if params is None:
        return None
    logged: dict[str, JSONValue] = {name: value for name, value in params.items() if name in _LOGGED_PARAMS}
    return logged | {name: True for name in params if name not in _LOGGED_PARAMS}
