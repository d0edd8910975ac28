"""Load the history of a failure group from the audit log, with the reasons that people gave."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.entries.readable_rows import load_entries, parse_details
from audit.format.canonical_json import MAX_NUMBER
from audit.models import Entry
from console.audit_log.action_names import action_label
from console.ui.actors import load_person_names
from sync.models import FailureDecision, FailureGroup

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
