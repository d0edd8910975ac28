"""The cases of the enumeration: a kind of webhook, the operation at which its process dies, and the outcome."""

from dataclasses import dataclass

from tests.faults.consistency.checker import Report
from tests.faults.load.native_source import ACK


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of webhook.

    `exists`: the shop has a record of the person and the webhook updates it; otherwise it creates one.
    With `is_deferred` the web process only stores the webhook, and the worker dies. `batch` is the slug of a native
    source, which sends three events in one request; one that is answered at once is delivered by workers.
    """

    name: str
    exists: bool
    is_deferred: bool = False
    batch: str = ""
    fails_once: bool = False
    wait_seconds: int = 30  # for a slow machine

    @property
    def events(self) -> int:
        return 3 if self.batch else 1

    @property
    def last_answers(self) -> list[tuple[int | None, str]]:
        """The answers that are right once all events are delivered, by status and word."""
        if self.batch == ACK:
            return [(202, "accepted")]
        return [(200, "succeeded"), (200, "unchanged")]


@dataclass(frozen=True, slots=True)
class Case:
    """The operation at which the process dies: `at`, before or after it. With `at` None it is not killed.

    `cuts`: `at` counts commits, and in place of the process its connection to the database ends after that one.
    """

    scenario: Scenario
    at: int | None = None
    after: bool = False
    cuts: bool = False

    def __str__(self) -> str:
        if self.cuts:
            return f"{self.scenario.name} cut after commit {self.at}"
        moment = "unhurt" if self.at is None else f"{'after' if self.after else 'before'} {self.at}"
        return f"{self.scenario.name} {moment}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a case.

    `died`: the operation at which the process was killed, or its connection cut, None if neither. `findings`: those of
    the nightly check at the end. `drained`: the report once everything
    that was stored is delivered. `final`: the report after the source sent the same webhook once more and got the
    answer `again`.
    """

    case: Case
    died: str | None
    operations: tuple[str, ...]
    drained: Report
    final: Report
    again: tuple[int | None, str]
    integrity: str
    findings: tuple[str, ...] = ()

    @property
    def complaints(self) -> list[str]:
        """Return a sentence for each fault. A webhook that was neither stored nor acknowledged may leave the shop stale."""
        faults = dict(self.drained.complaints)
        if not self.drained.stored and not self.drained.acknowledged:
            faults.pop("stale", None)
        if self.case.scenario.fails_once:
            # What was left to the second process failed there, and waits.
            faults = {name: value for name, value in faults.items() if name not in ("stale", "stuck")}
        found = [f"{name} {value}" for name, value in (*faults.items(), *self.final.complaints.items())]
        scenario = self.case.scenario
        if self.drained.stored not in (0, scenario.events):
            found.append(f"partial: {self.drained.stored} of {scenario.events} events are stored")
        if self.final.effects != scenario.events:
            found.append(f"effects {self.final.effects} for {scenario.events} changes")
        if self.again not in scenario.last_answers:
            found.append(f"again {self.again}")
        if self.integrity != "ok":
            found.append(f"integrity {self.integrity}")
        found += self.findings
        return found

    def __str__(self) -> str:
        return f"{self.case} ({self.died or 'lived'}): {'; '.join(self.complaints) or 'clean'}"
