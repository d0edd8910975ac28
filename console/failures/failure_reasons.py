"""Summarize the failures of the last seven days by reason, from the hourly counts, with the next step for each."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Sum

from console.ui.charts import percent_of_max
from console.ui.links import failed_events_query
from console.ui.outcome_texts import advise_after_cause, describe_failure, is_worth_a_replay
from sync.models import Connection, FailureCount, FailureGroup, FailureGroupState
from sync.models.counts import HOUR, start_of_hour
from sync.operations.passed_causes import PassedCause, load_settings_changes

PERIOD_HOURS = 7 * 24
MAX_REASONS = 10


@dataclass(frozen=True, slots=True)
class FailureReason:
    """One code at one connection. `groups` are its failure groups: none until a worker has created them, and several if
    the system gave several reasons.
    """

    code: str
    connection: Connection
    number: int
    bar: str
    groups: tuple[FailureGroup, ...]
    since: datetime
    passed: PassedCause | None

    @property
    def group(self) -> FailureGroup | None:
        """Return the group, if there is just one."""
        return self.groups[0] if len(self.groups) == 1 else None

    @property
    def last_at(self) -> datetime | None:
        return max((group.last_at for group in self.groups), default=None)

    @property
    def title(self) -> str:
        return describe_failure(self.code, self.connection).title

    @property
    def next_step(self) -> str:
        """Return the known fix that people noted, or else the next step of the catalogue."""
        known = self.group.known_fix if self.group else ""
        return (
            known or advise_after_cause(describe_failure(self.code, self.connection), self.passed).next_step
        )

    @property
    def is_worth_a_replay(self) -> bool:
        """Return True if a replay can succeed without a change of the hub's own settings."""
        return is_worth_a_replay(self.code) or self.passed is not None

    @property
    def query(self) -> str:
        """Return the filter for the event list and for a replay of all. Its times are fixed, so that it keeps its
        meaning.
        """
        return failed_events_query(self.code, self.connection, self.since)


def count_last_seven_days(group: FailureGroup, now: datetime) -> int:
    """Count the group's failures of events of the last seven days: the number that the overview shows."""
    counts = FailureCount.objects.filter(
        hour__gte=_first_hour(now), connection=group.connection_id, code=group.code
    )
    return counts.aggregate(number=Sum("number"))["number"] or 0


@dataclass(frozen=True, slots=True)
class FailureSummary:
    """The most frequent reasons, and the number of failed deliveries in ignored groups."""

    reasons: list[FailureReason]
    ignored: int


def summarize_failures(now: datetime) -> FailureSummary:
    """Load the failures of the last seven days, by four statements."""
    since = _first_hour(now)
    rows = FailureCount.objects.filter(hour__gte=since).order_by().values_list("connection_id", "code")
    # Connection and code break ties, so that the order is stable between two loads.
    counted = sorted(rows.annotate(Sum("number")), key=lambda row: (-row[2], row[0], row[1]))
    groups: dict[tuple[int, str], list[FailureGroup]] = defaultdict(list)
    for group in FailureGroup.objects.select_related("owner").order_by("-number", "pk"):
        if group.number or not group.failure_key:
            groups[group.connection_id, group.code].append(group)
    ignored = {
        key for key, rows in groups.items() if all(row.state == FailureGroupState.IGNORED for row in rows)
    }
    wanted = [row for row in counted if (row[0], row[1]) not in ignored][:MAX_REASONS]
    connections = Connection.objects.in_bulk([row[0] for row in wanted])
    changes = load_settings_changes() if wanted else None
    reasons = []
    for connection, code, number in wanted:
        rows_of_code = tuple(groups[connection, code])
        causes = [changes.of_group(group) for group in rows_of_code] if changes else []
        passed = causes[0] if causes and all(causes) else None
        bar = percent_of_max(number, wanted[0][2])
        reasons.append(FailureReason(code, connections[connection], number, bar, rows_of_code, since, passed))
    return FailureSummary(
        reasons,
        sum(row[2] for row in counted if (row[0], row[1]) in ignored),
    )


def _first_hour(now: datetime) -> datetime:
    return start_of_hour(now) - (PERIOD_HOURS - 1) * HOUR
