"""The list of failure groups: which of them stand under which tab, and what each row offers."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Case, QuerySet, Value, When
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from console.ui.charts import percent_of_max
from console.ui.links import failed_events_query, replay_form_url
from console.ui.outcome_texts import describe_failure, is_worth_a_replay
from sync.models import Care, FailureGroup
from webhooks.catalogue.codes import Words

MAX_LISTED = 200
_TABS = (
    ("", gettext_lazy("Need you"), (Care.OPEN, Care.ACKNOWLEDGED)),
    ("resolved", gettext_lazy("Resolved"), (Care.RESOLVED,)),
    ("ignored", gettext_lazy("Ignored"), (Care.IGNORED,)),
)


@dataclass(frozen=True, slots=True)
class FailureRow:
    """A group in a list in which the worst has `most` failures."""

    group: FailureGroup
    most: int

    @property
    def words(self) -> Words:
        return describe_failure(self.group.code, self.group.connection)

    @property
    def bar(self) -> str:
        return percent_of_max(self.group.number, self.most)

    @property
    def replay(self) -> str:
        """Where all of it is replayed; empty where that is no use yet."""
        if not (self.group.number and is_worth_a_replay(self.group.code)):
            return ""
        return replay_form_url(failed_events_query(self.group.code, self.group.connection))


@dataclass(frozen=True, slots=True)
class FailureTab:
    """The groups of some states."""

    name: str
    label: str | Promise
    groups: Sequence[FailureGroup]

    def to_rows(self) -> list[FailureRow]:
        shown = self.groups[:MAX_LISTED]
        most = max((each.number for each in shown), default=0)
        return [FailureRow(each, most) for each in shown]


def failure_tabs() -> list[FailureTab]:
    """All of them, by one statement."""
    groups = list(
        _order_worst_first(FailureGroup.objects.select_related("connection", "owner"))[: 3 * MAX_LISTED]
    )
    return [
        FailureTab(name, label, [each for each in groups if each.state in states and (each.number or name)])
        for name, label, states in _TABS  # nobody is needed where nothing is failed any more
    ]


def _order_worst_first(groups: QuerySet[FailureGroup]) -> QuerySet[FailureGroup]:
    """Open ones before those that somebody took on, then by how many failed."""
    place = Case(When(state=Care.OPEN, then=Value(0)), default=Value(1))
    return groups.order_by(place, "-number", "-last_at", "pk")
