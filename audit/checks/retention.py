"""Whether what is kept no longer was let go as the log says. Pure."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from audit.checks.findings import Fault, Faults

STREAM = "retention:audit"
ACTION = "audit.pruned"


@dataclass(frozen=True, slots=True)
class Declared:
    """An entry says that the entries of `segment` and of all before it are kept no longer. `by`: the segment that holds
    the entry which says so."""

    segment: int
    hash: str
    sealed_at: str
    up_to: str
    days: int
    at: str
    by: int

    @property
    def place(self) -> str:
        return f"what segment {self.by} says of entries that are kept no longer"


def declared_in(body: str, by: int) -> Declared | None:
    """What an entry says; None where it says nothing of that kind."""
    try:
        said = json.loads(body)
        told = {name: said["details"][name] for name in ("segment", "hash", "sealed_at", "up_to", "days")}
        return Declared(**told, at=said["at"], by=by) if said["action"] == ACTION else None
    except (KeyError, TypeError, ValueError):
        return None


def check_declared(said: Declared, its_hash: str, sealed_at: str) -> Faults:
    """What is wrong with what an entry says, beside what its segment is."""
    if (said.hash, said.sealed_at) != (its_hash, sealed_at):
        yield Fault(said.place, f"is not what segment {said.segment} is")
    if said.up_to != _before(said.at, said.days) or said.sealed_at >= said.up_to or said.segment >= said.by:
        yield Fault(said.place, f"is not about entries that are older than {said.days} days")


def _before(at: str, days: int) -> str:
    return (datetime.fromisoformat(at) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def check_stubs(stubs: Collection[tuple[str, bytes]], leaves: Collection[bytes], place: str) -> Faults:
    """Whether the ends of streams that are kept no longer stand in the segment that they name."""
    for stream, leaf in stubs:
        if leaf not in leaves:
            yield Fault(f"stream {stream}", f"what it continues is not in {place}")
