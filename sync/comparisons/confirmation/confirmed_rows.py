"""Store what was decided about candidates, in one commit: the rows, and the counts of their comparison."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from django.db import transaction

from connectors.contracts.errors import Side
from database.clock import read_clock
from sync.comparisons.confirmation.candidates import lock_comparison, select_candidates
from sync.comparisons.confirmation.difference_kinds import Verdict, without_proof
from sync.comparisons.confirmation.subject_states import SubjectStates, read_subject_states
from sync.jobs.running_job import RunningJob
from sync.models import Comparison, ComparisonCount, Difference, DifferenceKind, DifferenceStatus

# A subject whose record is written again and again while it is planned.
_MAX_TRIES = 3


@dataclass(frozen=True, slots=True)
class Decided:
    """A candidate and what it is. Without a `verdict`, it stays one: its entity was absent now for the first time."""

    row: Difference
    verdict: Verdict | None
    relied_on: frozenset[Side] = frozenset()

    def without_proof_of(self, refuted: frozenset[Side]) -> "Decided":
        """Return it without what rests on the access to a side that was refuted."""
        missing = self.relied_on & refuted
        if self.verdict is None or not missing:
            return self
        return replace(self, verdict=without_proof(self.verdict, missing))


def store_decided(
    comparison: Comparison,
    job: RunningJob,
    decided: Sequence[Decided],
    before: SubjectStates,
    tries: Counter[int],
) -> Comparison:
    """Store what was decided. `before`: the states of the subjects before they were planned. `tries`: how often the
    record of a candidate was written while it was planned. Returns the comparison. Raises JobLost.
    """
    with transaction.atomic():
        comparison = lock_comparison(comparison)
        # An erasure may have deleted a row meanwhile.
        rows = select_candidates(comparison).filter(pk__in=[one.row.pk for one in decided])
        left = set(rows.values_list("pk", flat=True))
        now = read_subject_states(comparison, [one.row.entity_id for one in decided])
        outcome = _Outcome(Counter(comparison.counts), Counter(comparison.field_counts))
        for one in decided:
            if one.row.pk in left:
                outcome.add(one, before, now, tries)
        outcome.write(comparison)
        job.renew_lease(made_progress=True)
    return comparison


@dataclass(slots=True)
class _Outcome:
    """What a commit writes."""

    counts: Counter[str]
    field_counts: Counter[str]
    kept: list[Difference] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)

    def add(self, one: Decided, before: SubjectStates, now: SubjectStates, tries: Counter[int]) -> None:
        """Add what becomes of a candidate by now."""
        row, verdict, entity_id = one.row, one.verdict, one.row.entity_id
        if entity_id in now.in_delivery:
            self.drop(row, ComparisonCount.IN_DELIVERY)
        elif verdict is None:
            row.seen_absent_at = read_clock()
            self.kept.append(row)
        elif entity_id in now.erased:
            self.drop(row, verdict.count)
        elif verdict.is_difference and before.links.get(entity_id) != now.links.get(entity_id):
            # The record was written while the subject was planned, perhaps between the two reads: plan it again.
            tries[row.pk] += 1
            if tries[row.pk] >= _MAX_TRIES:
                self.drop(row, ComparisonCount.IN_DELIVERY)
        elif verdict.is_difference:
            self.report(row, verdict, now.stopped.get(entity_id))
        else:
            self.drop(row, verdict.count)

    def drop(self, row: Difference, count: str) -> None:
        """Delete a candidate, and count it under a name, empty: not at all."""
        self.dropped.append(row.pk)
        if count:
            self.counts[str(count)] += 1

    def report(self, row: Difference, verdict: Verdict, stopped: tuple[str, str] | None) -> None:
        """Confirm a candidate as a difference. `stopped`: state and code of its delivery that is held or has failed."""
        row.delivery_state, code = stopped or ("", "")
        row.kind, row.status = verdict.count, DifferenceStatus.CONFIRMED
        row.record_id, row.fields, row.code = verdict.record_id, list(verdict.fields), verdict.code or code
        row.seen_absent_at = None
        self.kept.append(row)
        self.counts[str(verdict.count)] += 1
        if verdict.count == DifferenceKind.DIFFERS:
            self.field_counts.update(verdict.fields)

    def write(self, comparison: Comparison) -> None:
        """Write rows and counts, inside the transaction that locks the comparison."""
        names = ["kind", "status", "record_id", "fields", "code", "delivery_state", "seen_absent_at"]
        Difference.objects.bulk_update(self.kept, names)
        Difference.objects.filter(pk__in=self.dropped).delete()
        comparison.counts, comparison.field_counts = dict(self.counts), dict(self.field_counts)
        comparison.save(update_fields=["counts", "field_counts"])
