"""Build the list of failure groups, and the history of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Case, QuerySet, Value, When
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.entries.readable_rows import load_entries, parse_details
from audit.format.canonical_json import MAX_NUMBER
from audit.models import Entry
from config_schema.codes.codes import CodeTexts
from console.audit_log.action_names import action_label
from console.failures.sentences import load_sentences
from console.ui.actors import load_person_names
from console.ui.charts import percent_of_max
from console.ui.links import failed_group_query, replay_form_url
from console.ui.outcome_texts import advise_after_cause, describe_failure, is_worth_a_replay
from sync.models import FailureDecision, FailureGroup, FailureGroupState, ReplayPace
from sync.operations.passed_causes import PassedCause, load_settings_changes

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
    passed: PassedCause | None
    sentence: str

    @property
    def words(self) -> CodeTexts:
        return advise_after_cause(describe_failure(self.group.code, self.group.connection), self.passed)

    @property
    def bar(self) -> str:
        return percent_of_max(self.group.number, self.most)

    @property
    def query(self) -> str:
        """Return the filter of the event list for its failed events."""
        return failed_group_query(self.group)

    @property
    def replay(self) -> str:
        """Return the address that replays the whole group; empty if a replay cannot succeed yet."""
        is_worth_it = is_worth_a_replay(self.group.code) or self.passed is not None
        if not (self.group.number and is_worth_it):
            return ""
        return replay_form_url(self.query)


@dataclass(frozen=True, slots=True)
class FailureTab:
    name: str
    label: str | Promise
    groups: Sequence[FailureGroup]

    @property
    def number(self) -> int:
        """Return how many failed deliveries its groups have: of the open ones, what the menu and the overview say."""
        return sum(group.number for group in self.groups)

    def to_rows(self, *, with_sentences: bool) -> list[FailureRow]:
        """Return the rows of the tab. `with_sentences`: with what the systems said, which needs view_contents."""
        groups = self.groups[:MAX_LISTED]
        sentences = load_sentences(groups) if with_sentences else {}
        most = max((group.number for group in groups), default=0)
        changes = load_settings_changes()
        return [
            FailureRow(group, most, changes.of_group(group), sentences.get(group.pk, "")) for group in groups
        ]


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


def replay_choices(group: FailureGroup, failed: int) -> list[tuple[str, str]]:
    """Return the paces at which the page of a group offers to replay all of it, with the texts of their buttons."""
    names = {"number": f"{failed:,}", "system": group.connection.name}
    choices = [
        (ReplayPace.FIRST.value, _("Replay first one…")),
        (ReplayPace.GENTLE.value, _("Replay all %(number)s…") % names),
        (ReplayPace.ANSWERED.value, _("Replay all when %(system)s answers again…") % names),
    ]
    # One event is the first and all.
    return choices if failed > 1 else [(ReplayPace.GENTLE.value, _("Replay…")), choices[2]]


MAX_ENTRIES = 20


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One entry. `who` is empty for the hub itself."""

    at: datetime
    who: str
    what: str
    why: str


def load_history(group: FailureGroup) -> list[HistoryRow]:
    """Return the history, newest first, by three statements."""
    entries = load_entries(Entry.objects.filter(stream=group.stream).order_by("-stream_seq")[:MAX_ENTRIES])
    described = [(entry, parse_details(entry.details)) for entry in entries]
    keys = [key for _, details in described if (key := _decision_key(details))]
    decisions = FailureDecision.objects.select_related("made_by").in_bulk(keys)
    people = load_person_names([entry.actor for entry in entries])
    rows = []
    for entry, details in described:
        decision = decisions.get(_decision_key(details))
        changed = details.get("changed")
        fields = ", ".join(map(str, changed)).replace("_", " ") if isinstance(changed, list) else ""
        rows.append(
            HistoryRow(
                entry.at,
                people.get(entry.actor, ""),
                action_label(entry.action),
                decision.reason if decision else fields,
            )
        )
    return rows


def _decision_key(details: Mapping[str, Any]) -> int:
    """Return the key of the decision that an entry names; 0 if it names none, or was changed."""
    key = details.get("decision")
    return key if isinstance(key, int) and abs(key) < MAX_NUMBER else 0
