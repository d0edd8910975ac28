"""The newest checkpoint goes outside, by every way that is set up; one that fails holds up no other."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from audit.models import Anchoring, Checkpoint, Outlet
from audit.sealing.checkpoints import checkpoint_file, make_checkpoint
from audit.sealing.record_rows import checkpoint_record
from audit.sealing.signing_keys import Box

logger = logging.getLogger("hub.audit")

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=15)


class NotAnchored(Exception):
    """The checkpoint may not have arrived. The text is for support and holds no secret."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a checkpoint goes outside. `send` takes its count and its file, and raises `NotAnchored`; `every`: not more
    often than that."""

    send: Callable[[int, bytes], None]
    every: timedelta


def anchor(box: Box, at: datetime, ways: Mapping[str, Way]) -> int:
    """Make a checkpoint of what is sealed and send it by every way whose turn it is; by how many it arrived.

    After a failure a way is tried again at later turns, with whatever is the newest checkpoint then: at most one
    sending a turn, at most a quarter of an hour between two.
    """
    made = make_checkpoint(box, at)
    Outlet.objects.exclude(name__in=ways).delete()
    if made is None:
        return 0
    return sum(_tell(made, name, way, at) for name, way in ways.items())


def _tell(made: Checkpoint, name: str, way: Way, at: datetime) -> bool:
    outlet, _ = Outlet.objects.get_or_create(name=name, defaults={"due_at": at})
    longest = max(way.every, LONGEST_PAUSE)
    waits = at < outlet.due_at <= at + longest  # later than that is due: a clock was ahead
    if waits or outlet.count == made.count:
        return False
    try:
        way.send(made.count, checkpoint_file(checkpoint_record(made)))
    except NotAnchored as failure:
        _put_off(outlet, str(failure), at)
        return False
    except Exception:
        logger.exception("a checkpoint could not be sent by %s", name)
        _put_off(outlet, "an error of the hub itself; its log has it", at)
        return False
    with transaction.atomic():
        Anchoring.objects.create(checkpoint=made, outlet=name, at=at)
        Outlet.objects.filter(name=name).update(
            count=made.count, told_at=at, due_at=at + way.every, failures=0, failing_since=None, failure=""
        )
    return True


def _put_off(outlet: Outlet, failure: str, at: datetime) -> None:
    pause = min(FIRST_PAUSE * 2 ** min(outlet.failures, 10), LONGEST_PAUSE)
    logger.warning("checkpoint was not sent by %s: %s", outlet.name, failure)
    Outlet.objects.filter(pk=outlet.pk).update(
        failures=outlet.failures + 1,
        failing_since=outlet.failing_since or at,
        failure=failure[:200],
        due_at=at + pause,
    )
