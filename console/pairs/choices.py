"""The systems and mappings that each part of a pair can be chosen from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from config_schema.preset_files import PresetMetadata
from connectors.presets import PRESETS
from console.base.forms import parse_pk
from console.base.origin_page import lead_back
from console.reference.preset_catalogue import MAX_SEARCH_LENGTH, SOURCE, list_entries
from sync.models import Connection, MappingVersion, PairDraft
from sync.models import Mapping as MappingRow
from sync.pairs.planned_pair import (
    IDENTITY,
    MAPPING,
    SENDER,
    TARGET,
    find_common_type,
    find_preset,
    is_preset_of,
    load_connection,
)
from webhooks.models import Source
from webhooks.presets.source_presets import SOURCE_PRESETS

MAX_EXISTING = 50
# In the order in which they are chosen.
PARTS = (SENDER, TARGET, IDENTITY, MAPPING)
TITLES: Mapping[str, Promise] = {
    SENDER: gettext_lazy("Which system sends the webhooks?"),
    TARGET: gettext_lazy("Which system gets the changes?"),
    IDENTITY: gettext_lazy("Where does the hub fetch the people from?"),
    MAPPING: gettext_lazy("Which mapping fills the fields?"),
}
_ADD_PAGES = {
    SENDER: "admin:webhooks_source_add",
    TARGET: "admin:sync_connection_add",
    IDENTITY: "admin:sync_connection_add",
    MAPPING: "admin:sync_mapping_add",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One system or mapping. `value` is what the form sends; `note` tells it from others with the same name."""

    value: str
    label: str
    note: str = ""
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class ChoiceLists:
    """What a part can be: what exists already, and presets. `add_url`: the page that adds another one."""

    existing: Sequence[Choice]
    presets: Sequence[Choice]
    add_url: str


def list_choices(part: str, page_url: str, search: str = "", added: str = "") -> ChoiceLists:
    """Return the choices for a part that have all words of a search. `added`: the key of one that was just added, which
    comes first.
    """
    rows: Any = _existing_rows(part)
    words = search[:MAX_SEARCH_LENGTH].split()
    for word in words:
        rows = rows.filter(name__icontains=word)
    shown = list(rows.order_by("name", "pk")[:MAX_EXISTING])
    if (key := parse_pk(added)) is not None and (row := _existing_rows(part).filter(pk=key).first()):
        shown = [row, *(other for other in shown if other.pk != row.pk)]
    existing = [Choice(f"id:{row.pk}", row.name, _note(row), str(row.pk) == added) for row in shown]
    presets = []
    if part != MAPPING:
        kind = SOURCE if part == SENDER else part
        presets = [
            Choice(f"preset:{entry.name}", entry.metadata.label) for entry in list_entries(kind, search)
        ]
    return ChoiceLists(existing, presets, lead_back(reverse(_ADD_PAGES[part]), page_url))


def parse_choice(part: str, value: str) -> dict[str, Any] | None:
    """Return the choice that a form sent, as a draft stores it; None if there is no such system or mapping."""
    kind, _colon, name = value.partition(":")
    if kind == "id" and (key := parse_pk(name)) is not None:
        return _choice_of(_existing_rows(part).filter(pk=key))
    is_known = name in SOURCE_PRESETS if part == SENDER else is_preset_of(name, part)
    return {"preset": name} if kind == "preset" and is_known and part != MAPPING else None


def choose_identity(parts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the identity connection that goes with the sender, if there is only one: the connection or the preset.
    None if a person has to choose.
    """
    sender = parts.get(SENDER, {})
    if "id" in sender:
        # The connection from which the routes of this source fetch.
        used = Connection.objects.filter(pk__in=_identities_of(sender["id"]))
        return _choice_of(used) if used[:2].count() == 1 else None
    names = SOURCE_PRESETS[sender["preset"]].identity if sender.get("preset") in SOURCE_PRESETS else ()
    if len(names) != 1 or Connection.objects.filter(preset=names[0]).exists():
        # A connection to this system may exist already: a person says whether it is this one.
        return None
    return {"preset": names[0]}


def next_part(draft: PairDraft) -> str:
    """Return the part that has to be chosen next; empty if all are."""
    for part in (SENDER, TARGET, IDENTITY):
        chosen = draft.parts.get(part, {})
        if not chosen or ("id" in chosen and not _existing_rows(part).filter(pk=chosen["id"]).exists()):
            return part
    if MAPPING in draft.parts:
        is_there = MappingRow.objects.filter(pk=draft.parts[MAPPING].get("id")).exists()
        return "" if is_there else MAPPING
    drafted = find_common_type(find_preset(draft, IDENTITY), find_preset(draft, TARGET))
    return "" if drafted else MAPPING


def needs_details(draft: PairDraft) -> bool:
    """Return True while an address of a chosen preset was not entered."""
    return any(load_connection(draft, part) is None for part in (IDENTITY, TARGET))


def describe_part(draft: PairDraft, part: str) -> str:
    """Return the name of what was chosen for a part; empty if nothing was."""
    chosen = draft.parts.get(part, {})
    presets: Mapping[str, PresetMetadata] = SOURCE_PRESETS if part == SENDER else PRESETS
    preset = presets.get(chosen.get("preset", ""))
    return str(chosen.get("label", "")) if preset is None else preset.label


def _choice_of(rows: Any) -> dict[str, Any] | None:
    """Return the first of these rows as a draft stores it; None without any."""
    row = rows.first()
    return None if row is None else {"id": row.pk, "label": row.name}


def _identities_of(source: int) -> Any:
    return Source.objects.filter(pk=source).values("routes__identity")


def _existing_rows(part: str) -> Any:
    if part == SENDER:
        return Source.objects.all()
    if part == MAPPING:
        # One without a version has no rules that a delivery could use.
        return MappingRow.objects.filter(Exists(MappingVersion.objects.filter(mapping=OuterRef("pk"))))
    return Connection.objects.filter(side=part)


def _note(row: Any) -> str:
    return str(row.base_url) if isinstance(row, Connection) else str(getattr(row, "slug", ""))
