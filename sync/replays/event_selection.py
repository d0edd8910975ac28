"""The selected events of a bulk replay, stored as rows in bounded batches.

A filter is read from its newest event back, through the index that every such filter has; events after the
start of the selection are left out. Each batch is a transaction, so another process can resume.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import F, Max, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from sync.jobs import submission
from sync.jobs.running_job import JobLost, RunningJob
from sync.models import MemberState, PersonRequest, PersonRequestMember, PersonRequestState, SkipReason
from sync.replays.requests import ReplayRefused
from sync.replays.skip_rules import find_skipped
from webhooks.models import Event

MAX_EVENTS = 50_000
BATCH_SIZE = 1_000
KIND = "event-set"
# For a selection that was never confirmed.
DRAFT_RETENTION = timedelta(days=1)
_LOADED_FIELDS = ("source_id", "entity_type", "entity_id", "event_type", "origin", "received_at")
_DRAFTS = (PersonRequestState.CHOOSING, PersonRequestState.CHOSEN)


class TooManyEvents(ReplayRefused):
    """More events match than one replay takes; none was selected."""

    def __init__(self) -> None:
        super().__init__(
            _("More than %(limit)s events match. Narrow the filters and replay in parts.")
            % {"limit": f"{MAX_EVENTS:,}"}
        )


def begin_selection(by: AbstractBaseUser, filter_params: Mapping[str, str]) -> PersonRequest:
    """Create an empty selection for the parameters of a resolved filter, up to the newest event, and submit
    its job.
    """
    # Events that arrive after this are left out.
    last_event_id = Event.objects.aggregate(newest=Max("pk"))["newest"] or 0
    with transaction.atomic():
        replay = PersonRequest.objects.create(
            requested_by_id=by.pk,
            created_at=timezone.now(),
            state=PersonRequestState.CHOOSING,
            filter=dict(filter_params),
            last_event_id=last_event_id,
        )
        submission.submit_job(KIND, replay.pk)
    return replay


def select_events(by: AbstractBaseUser, events: Collection[int], key: UUID | None = None) -> PersonRequest:
    """Create a frozen selection of these events. Raises ReplayRefused for none or too many."""
    if not 0 < len(events) <= MAX_EVENTS:
        raise TooManyEvents if events else ReplayRefused(_("Select at least one event."))
    now = timezone.now()
    replay = PersonRequest(requested_by_id=by.pk, created_at=now, state=PersonRequestState.CHOOSING)
    replay.uuid = key or replay.uuid
    replay.save(force_insert=True)
    ordered = sorted(events)
    for start in range(0, len(ordered), BATCH_SIZE):
        with transaction.atomic():
            batch = Event.objects.filter(pk__in=ordered[start : start + BATCH_SIZE]).order_by("pk")
            _add_members(replay, list(batch.only(*_LOADED_FIELDS)))
    freeze_selection(replay)
    return replay


def fill_selection(replay: PersonRequest, matching: QuerySet[Event], seconds: float, job: RunningJob) -> bool:
    """Add events to a selection as `fill_in_batches` does. `matching` are the events that its filter selects."""
    return fill_in_batches(replay, lambda: _add_next_batch(replay, matching), seconds, job)


def fill_in_batches(
    replay: PersonRequest, add_next_batch: Callable[[], bool], seconds: float, job: RunningJob
) -> bool:
    """Add members to a selection for at most `seconds`. Returns True once it is frozen and its job has ended.

    `add_next_batch` adds the next ones in a transaction, and returns True at the end. Raises JobLost. Raises
    TooManyEvents after removing all members; the selection itself stays, to say why it is empty.
    """
    deadline = time.monotonic() + seconds
    while True:
        with transaction.atomic():
            is_complete = add_next_batch()
            job.renew_lease(made_progress=True)
        if is_too_large(replay):
            # The job ends first, so that no worker resumes a selection whose members are being deleted.
            with transaction.atomic():
                _mark_all_skipped(replay)
                job.finish()
            _delete_members(replay)
            raise TooManyEvents
        if is_complete:
            with transaction.atomic():
                freeze_selection(replay)
                job.finish()
            return True
        if time.monotonic() >= deadline:
            return False


def _add_next_batch(replay: PersonRequest, matching: QuerySet[Event]) -> bool:
    """Add the next batch of events after the stored position. Returns True at the end. Raises JobLost if the
    selection was discarded.
    """
    lock_selection(replay)
    events = matching.filter(pk__lte=replay.last_event_id).order_by("-received_at", "-id")
    if replay.cursor_at is not None:
        at, key = replay.cursor_at, replay.cursor_id
        # The last condition is implied by the others, but only with it does the index find the start of the batch.
        events = events.filter(Q(received_at__lt=at) | Q(received_at=at, pk__lt=key), received_at__lte=at)
    batch = list(events.only(*_LOADED_FIELDS)[:BATCH_SIZE])
    if batch:
        replay.cursor_at, replay.cursor_id = batch[-1].received_at, batch[-1].pk
        replay.save(update_fields=["cursor_at", "cursor_id"])
        _add_members(replay, batch)
    return len(batch) < BATCH_SIZE


def lock_selection(replay: PersonRequest) -> None:
    """Lock a selection and read it again. Raises JobLost if it was discarded."""
    if not PersonRequest.objects.select_for_update(no_key=True).filter(pk=replay.pk).exists():
        raise JobLost
    replay.refresh_from_db()


def _add_members(replay: PersonRequest, events: Sequence[Event]) -> None:
    now, skipped = timezone.now(), find_skipped(events, replay)
    PersonRequestMember.objects.bulk_create(
        PersonRequestMember(
            person_request=replay,
            event=event,
            state=MemberState.SKIPPED if event.pk in skipped else MemberState.WAITING,
            why=skipped.get(event.pk, ""),
            at=now,
        )
        for event in events
    )
    PersonRequest.objects.filter(pk=replay.pk).update(
        total=F("total") + len(events), skipped=F("skipped") + len(skipped)
    )
    replay.total += len(events)
    replay.skipped += len(skipped)


def freeze_selection(replay: PersonRequest) -> None:
    """Make a selection final: a person can confirm it."""
    PersonRequest.objects.filter(pk=replay.pk, state=PersonRequestState.CHOOSING).update(
        state=PersonRequestState.CHOSEN, frozen_at=timezone.now()
    )
    replay.refresh_from_db()


def leave_rest(replay: PersonRequest, size: int) -> None:
    """Skip all events of a selection that is not confirmed but the first `size`, in the order in which they are sent:
    they are left for another replay.
    """
    with transaction.atomic():
        chosen = PersonRequest.objects.select_for_update(no_key=True)
        if not chosen.filter(pk=replay.pk, state=PersonRequestState.CHOSEN).exists():
            return
        waiting = PersonRequestMember.objects.filter(person_request=replay, state=MemberState.WAITING)
        rest = list(waiting.order_by("event").values_list("pk", flat=True)[size:])
        for start in range(0, len(rest), BATCH_SIZE):
            batch = PersonRequestMember.objects.filter(pk__in=rest[start : start + BATCH_SIZE])
            batch.update(state=MemberState.SKIPPED, why=SkipReason.LATER, at=timezone.now())
        PersonRequest.objects.filter(pk=replay.pk).update(skipped=F("skipped") + len(rest))
    replay.refresh_from_db()


def is_too_large(replay: PersonRequest) -> bool:
    """Return True if more events matched than a replay takes, so that none can be sent."""
    return replay.total > MAX_EVENTS


def _mark_all_skipped(replay: PersonRequest) -> None:
    PersonRequest.objects.filter(pk=replay.pk, state=PersonRequestState.CHOOSING).update(
        state=PersonRequestState.CHOSEN, skipped=F("total")
    )


def _delete_members(replay: PersonRequest) -> None:
    members = PersonRequestMember.objects.filter(person_request=replay)
    while keys := list(members.values_list("pk", flat=True)[:BATCH_SIZE]):
        PersonRequestMember.objects.filter(pk__in=keys).delete()


def discard_selection(replay: PersonRequest) -> None:
    """Delete an unconfirmed selection and cancel its job, by batches of rows."""
    if not PersonRequest.objects.filter(pk=replay.pk, state__in=_DRAFTS).exists():
        return
    # First the job, so that no worker adds members meanwhile.
    submission.cancel_job(KIND, replay.pk)
    delete_selection(replay)


def delete_selection(replay: PersonRequest) -> None:
    """Delete an unconfirmed selection whose job does not run."""
    _delete_members(replay)
    PersonRequest.objects.filter(pk=replay.pk, state__in=_DRAFTS).delete()


def discard_old_selections() -> int:
    """Delete the selections that were not confirmed within a day. Returns their number."""
    old = list(
        PersonRequest.objects.filter(state__in=_DRAFTS, created_at__lt=timezone.now() - DRAFT_RETENTION)[:100]
    )
    for replay in old:
        discard_selection(replay)
    return len(old)
