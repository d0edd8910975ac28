"""Whether what is kept no longer was let go as the log says. Pure."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from audit.checks.findings import Faults, IntegrityFault

PRUNING_STREAM = "retention:audit"
PRUNING_ACTION = "audit.pruned"


@dataclass(frozen=True, slots=True)
class PruningAnnouncement:
    """An entry says that the entries of `segment` and of all before it are kept no longer. `by`: the segment that holds
    the entry which says so."""

    segment: int
    hash: str
    sealed_at: str
    up_to: str
    days: int
    at: str
    announced_in: int

    @property
    def location(self) -> str:
        return f"what segment {self.announced_in} says of entries that are kept no longer"


def parse_announcement(body: str, announced_in: int) -> PruningAnnouncement | None:
    """What an entry says; None where it says nothing of that kind."""
    try:
        said = json.loads(body)
        told = {name: said["details"][name] for name in ("segment", "hash", "sealed_at", "up_to", "days")}
        return (
            PruningAnnouncement(**told, at=said["at"], announced_in=announced_in)
            if said["action"] == PRUNING_ACTION
            else None
        )
    except (KeyError, TypeError, ValueError):
        return None


def check_announcement(announcement: PruningAnnouncement, segment_hash: str, sealed_at: str) -> Faults:
    """What is wrong with what an entry says, beside what its segment is."""
    if (announcement.hash, announcement.sealed_at) != (segment_hash, sealed_at):
        yield IntegrityFault(announcement.location, f"is not what segment {announcement.segment} is")
    if (
        announcement.up_to != _days_before(announcement.at, announcement.days)
        or announcement.sealed_at >= announcement.up_to
        or announcement.segment >= announcement.announced_in
    ):
        yield IntegrityFault(
            announcement.location, f"is not about entries that are older than {announcement.days} days"
        )


def _days_before(at: str, days: int) -> str:
    return (datetime.fromisoformat(at) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def check_stubs(stubs: Collection[tuple[str, bytes]], leaves: Collection[bytes], location: str) -> Faults:
    """Whether the ends of streams that are kept no longer stand in the segment that they name."""
    for stream, leaf in stubs:
        if leaf not in leaves:
            yield IntegrityFault(f"stream {stream}", f"what it continues is not in {location}")
