"""The set of a bulk replay that was chosen by the event list's filter: begun by a request, gone on with by a worker."""

import logging
from collections.abc import Callable, Iterable, Mapping

from django.contrib.auth.models import AbstractBaseUser
from django.utils import timezone

from database.statement import Statement
from sync.models import Replay, ReplayState
from sync.replays.event_set import TooMany, begin_choice, discard, fill
from sync.replays.worker_step import look as look_at_replays
from sync.search.event_filter import EventFilter, resolve
from webhooks.models import Event

logger = logging.getLogger("hub.replays")

_REQUEST_SECONDS = 3.0
_LOOK_SECONDS = 5.0
# Asked each second: past the ORM.
_ANY = Statement("SELECT 1 FROM sync_replay WHERE state = 'choosing' LIMIT 1")


def freeze_filter(by: AbstractBaseUser, words: Mapping[str, str]) -> Replay:
    """A set of the events that these words mean at this moment. What a few seconds are too short for, a worker goes on
    with. `NoSuchFilter`; `TooMany`.
    """
    meant = resolve(words, timezone.now())
    replay = begin_choice(by, meant.words())
    try:
        fill(replay, meant.narrow(Event.objects.all()), _REQUEST_SECONDS)
    except TooMany:
        discard(replay)
        raise
    return replay


def meaning(replay: Replay) -> EventFilter:
    """The filter that a set was chosen by."""
    return resolve(replay.filter or {}, timezone.now())


def look(goes_on: Callable[[], bool] = lambda: True) -> None:
    """A worker's look: go on with sets that are being counted, and with the replays that run, while it may."""
    for replay in _being_counted():
        if not goes_on():
            return
        try:
            fill(replay, meaning(replay).narrow(Event.objects.all()), _LOOK_SECONDS)
        except TooMany:
            logger.info("%s matched too many events, and holds none", replay)
    look_at_replays()


def _being_counted() -> Iterable[Replay]:
    if not _ANY.row():
        return ()
    return Replay.objects.filter(state=ReplayState.CHOOSING).exclude(filter=None).order_by("pk")[:5]
