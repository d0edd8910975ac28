"""Checks of pruning: entries were deleted only as the log announced. Pure."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from audit.checks.findings import Faults, IntegrityFault
from audit.format.stub_sum import StubSum

PRUNING_STREAM = "retention:audit"
PRUNING_ACTION = "audit.pruned"
# The entries about deletions that were carried out. Each has the sum over all stubs after it.
DELETION_STREAM = "retention:entries"
DELETION_ACTION = "audit.deleted"
# The largest difference that is assumed between the clocks of the hub's machines.
CLOCKS_APART = timedelta(minutes=10)
_DETAILS = {"segment": int, "hash": str, "sealed_at": str, "up_to": str, "days": int}


@dataclass(frozen=True, slots=True)
class PruningAnnouncement:
    """An entry that announces that the entries of `segment` and of all segments before it are deleted.

    `announced_in` is the segment that holds the entry, `up_to` the time before which the deleted entries were sealed.
    """

    segment: int
    hash: str
    sealed_at: str
    up_to: str
    days: int
    at: str
    announced_in: int

    @property
    def location(self) -> str:
        return f"the record in segment {self.announced_in} of deleted entries"


def parse_announcement(body: str, announced_in: int) -> PruningAnnouncement | None:
    """Return the announcement in an entry's body, or None if it is another entry."""
    try:
        document = json.loads(body)
        details = {name: document["details"][name] for name in _DETAILS}
        # Someone may have changed the entry: the checks compare and compute with these values.
        is_announcement = document["action"] == PRUNING_ACTION and all(
            type(details[name]) is type_ for name, type_ in _DETAILS.items()
        )
        return (
            PruningAnnouncement(**details, at=document["at"], announced_in=announced_in)
            if is_announcement
            else None
        )
    except (KeyError, RecursionError, TypeError, ValueError):
        return None


def check_announcement(
    announcement: PruningAnnouncement, segment_hash: str, sealed_at: str, announced_at: str
) -> Faults:
    """Yield the faults of an announcement, compared with the segment that it names.

    `announced_at` is the time at which the segment that contains the announcement was sealed.
    """
    if (announcement.hash, announcement.sealed_at) != (segment_hash, sealed_at):
        yield IntegrityFault(announcement.location, f"does not match segment {announcement.segment}")
    if (
        # Recomputed from the entry's own time: an announcement must not delete more than its rule allows.
        announcement.up_to != _subtract_days(announcement.at, announcement.days)
        or announcement.sealed_at >= announcement.up_to
        or announcement.segment >= announcement.announced_in
    ):
        yield IntegrityFault(
            announcement.location, f"includes entries that are not older than {announcement.days} days"
        )
    # With a time in the future the rule would allow to delete everything.
    if announcement.at > _add_time(announced_at, CLOCKS_APART):
        yield IntegrityFault(
            announcement.location, f"has the time {announcement.at}, but was sealed at {announced_at}"
        )


def _subtract_days(at: str, days: int) -> str:
    """Return the time `days` days before `at` as text; empty if it is out of range."""
    try:
        return _add_time(at, timedelta(days=-days))
    except (OverflowError, ValueError):
        return ""


def _add_time(at: str, by: timedelta) -> str:
    """Return the time `by` after `at`, as text. Raises OverflowError, and ValueError if `at` is not a time."""
    return (datetime.fromisoformat(at) + by).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def check_stubs(stubs: Collection[tuple[str, bytes]], leaves: Collection[bytes], location: str) -> Faults:
    """Yield a fault for each stub whose hash is not in the segment that it names."""
    for stream, leaf in stubs:
        if leaf not in leaves:
            yield IntegrityFault(f"stream {stream}", f"its previous entry is not in {location}")


def parse_stub_sum(details: object) -> StubSum | None:
    """Return the sum in the details of the newest entry about deletions; of no stubs without such an entry (None).

    Returns None if the details cannot be read.
    """
    if details is None:
        return StubSum()
    try:
        return StubSum.from_details(json.loads(str(details)))
    except (KeyError, RecursionError, TypeError, ValueError):
        return None


def check_stub_sum(found: StubSum, details: object) -> Faults:
    """Yield a fault if the stubs are not those that the newest entry about deletions counted. `details`: of that entry,
    None if there is none.
    """
    recorded = parse_stub_sum(details)
    if recorded is None:
        yield IntegrityFault(f"stream {DELETION_STREAM}", "its newest entry cannot be read")
    elif recorded.count != found.count:
        yield IntegrityFault(
            "the ends of streams with deleted entries",
            f"are {found.count}, but stream {DELETION_STREAM} counted {recorded.count}",
        )
    elif recorded != found:
        yield IntegrityFault(
            "the ends of streams with deleted entries",
            f"differ from those that stream {DELETION_STREAM} counted",
        )
