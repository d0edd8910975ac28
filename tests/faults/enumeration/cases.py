"""What is enumerated: a webhook of some kind, the place where its process dies, and what became of it."""

from dataclasses import dataclass

from tests.faults.consistency.checker import Report


@dataclass(frozen=True, slots=True)
class Scenario:
    """`exists`: the shop has a record of the person, so that the webhook updates it; otherwise it creates one.

    With `is_deferred` the web process only stores, and it is the worker that dies.
    """

    name: str
    exists: bool
    is_deferred: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """Where the process dies: at operation `at`, before or after it; `at` None: it lives."""

    scenario: Scenario
    at: int | None = None
    after: bool = False

    def __str__(self) -> str:
        moment = "unhurt" if self.at is None else f"{'after' if self.after else 'before'} {self.at}"
        return f"{self.scenario.name} {moment}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: `died` at which operation, where it came to that; the figures once everything that was
    stored is delivered, and once the source has sent the same webhook again and was told `again`.
    """

    case: Case
    died: str | None
    operations: tuple[str, ...]
    drained: Report
    final: Report
    again: tuple[int | None, str]
    integrity: str

    @property
    def complaints(self) -> list[str]:
        """Everything that must not be, in words. A webhook that was never stored nor acknowledged changes nothing."""
        faults = dict(self.drained.complaints)
        if not self.drained.stored and not self.drained.acknowledged:
            faults.pop("stale", None)
        found = [f"{name} {value}" for name, value in (*faults.items(), *self.final.complaints.items())]
        if self.final.effects != 1:
            found.append(f"effects {self.final.effects} for one change")
        if self.again[0] != 200 or self.again[1] not in ("succeeded", "unchanged"):
            found.append(f"again {self.again}")
        if self.integrity != "ok":
            found.append(f"integrity {self.integrity}")
        return found

    def __str__(self) -> str:
        return f"{self.case} ({self.died or 'lived'}): {'; '.join(self.complaints) or 'clean'}"
