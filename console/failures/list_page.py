"""Build the list of failure groups: its tabs and rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Case, QuerySet, Value, When
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from console.ui.charts import percent_of_max
from console.ui.links import failed_events_query, replay_form_url
from console.ui.outcome_texts import describe_failure, is_worth_a_replay
from sync.models import FailureGroup, FailureGroupState
from webhooks.catalogue.codes import CodeTexts

MAX_LISTED = 200
_TABS = (
    ("", gettext_lazy("Open"), (FailureGroupState.OPEN, FailureGroupState.ACKNOWLEDGED)),
    ("resolved", gettext_lazy("Resolved"), (FailureGroupState.RESOLVED,)),
    ("ignored", gettext_lazy("Ignored"), (FailureGroupState.IGNORED,)),
)


@dataclass(frozen=True, slots=True)
class FailureRow:
    """A group in a list whose largest group has `most` failures."""

    group: FailureGroup
    most: int

    @property
    def words(self) -> CodeTexts:
        return describe_failure(self.group.code, self.group.connection)

    @property
    def bar(self) -> str:
        return percent_of_max(self.group.number, self.most)

    @property
    def replay(self) -> str:
        """Return the address that replays the whole group; empty if a replay cannot succeed yet."""
        if not (self.group.number and is_worth_a_replay(self.group.code)):
            return ""
        return replay_form_url(failed_events_query(self.group.code, self.group.connection))


@dataclass(frozen=True, slots=True)
class FailureTab:
    """The groups in some states."""

    name: str
    label: str | Promise
    groups: Sequence[FailureGroup]

    def to_rows(self) -> list[FailureRow]:
        groups = self.groups[:MAX_LISTED]
        most = max((group.number for group in groups), default=0)
        return [FailureRow(group, most) for group in groups]


def failure_tabs() -> list[FailureTab]:
    """Load all tabs by one statement."""
    groups = list(
        _order_worst_first(FailureGroup.objects.select_related("connection", "owner"))[: 3 * MAX_LISTED]
    )
    return [
        FailureTab(
            name, label, [group for group in groups if group.state in states and (group.number or name)]
        )
        # An open group without failures needs no attention, so it is left out.
        for name, label, states in _TABS
    ]


def _order_worst_first(groups: QuerySet[FailureGroup]) -> QuerySet[FailureGroup]:
    """Order open groups before acknowledged ones, then by number of failures."""
    place = Case(When(state=FailureGroupState.OPEN, then=Value(0)), default=Value(1))
    return groups.order_by(place, "-number", "-last_at", "pk")
