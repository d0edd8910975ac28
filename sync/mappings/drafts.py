"""Change a mapping: save a draft, and later put it in force as the next version. Each step is one commit with
its audit entry.

Concurrent edits: a caller names the version and draft that it began from, and is refused if others have
replaced them.
"""

from collections.abc import Collection
from collections.abc import Mapping as Members
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.acting_person import ActingPerson
from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from sync.mappings.activation_check import (
    ActivationCheck,
    check_activation,
    copy_fields_with_value,
    parse_version,
)
from sync.mappings.configuration_gaps import mapping_gaps
from sync.models import DraftState, Mapping, MappingDraft, MappingVersion
from sync.planning.mapping_declaration import parse_mapping


class MappingChangedMeanwhile(Exception):
    """Another person changed the mapping first. Holds the present version and draft."""

    def __init__(self, current: MappingVersion | None, draft: MappingDraft | None) -> None:
        super().__init__("this mapping was changed in the meantime")
        self.current = current
        self.draft = draft


class MappingChangeRefused(ValueError):
    """The change was refused, with a sentence for the person who asked."""


class FieldsUnconfirmed(MappingChangeRefused):
    """A person has to confirm, by their names, fields that get no value from stored entities."""

    def __init__(self, check: ActivationCheck) -> None:
        super().__init__(_("Type the name of each field below to confirm it."))
        self.check = check


@dataclass(frozen=True, slots=True)
class DeclarationText:
    """A declaration, and its text as a person typed it."""

    declaration: Any
    text: str


@dataclass(frozen=True, slots=True)
class SeenVersions:
    """Version number and draft id that a person began from, 0 for none."""

    version_number: int
    draft_id: int


def current_version(mapping: Mapping) -> MappingVersion | None:
    """Return the version in force, None before the first."""
    return mapping.versions.select_related("made_by").order_by("-number").first()


def open_draft(mapping: Mapping) -> MappingDraft | None:
    """Return the open draft, None without one."""
    drafts = mapping.drafts.filter(state=DraftState.OPEN)
    return drafts.select_related("made_by", "base").first()


def seen_versions(current: MappingVersion | None, draft: MappingDraft | None) -> SeenVersions:
    """Return the version number and draft id for a page that shows these."""
    return SeenVersions(current.number if current else 0, draft.pk if draft else 0)


@transaction.atomic
def save_draft(
    mapping: Mapping, declaration_text: DeclarationText, note: str, seen: SeenVersions, author: ActingPerson
) -> MappingDraft:
    """Save a declaration as the open draft and replace the draft that was `seen`.

    Raises MappingChangedMeanwhile if another draft is open or another version is in force by now, and
    MappingChangeRefused if nothing differs.
    """
    current, replaced = _lock_unchanged(mapping, seen)
    latest_declaration = replaced or current
    if latest_declaration is not None and (latest_declaration.declaration_text, _note_of(replaced)) == (
        declaration_text.text,
        note.strip()[:500],
    ):
        raise MappingChangeRefused(_("Nothing was changed: the rules are the same as before."))
    if replaced is not None:
        _close_draft(replaced, DraftState.REPLACED)
    draft = MappingDraft(mapping=mapping, note=note.strip()[:500], base=current)
    draft.declaration, draft.text = declaration_text.declaration, declaration_text.text
    draft.made_by_id, draft.made_at = author.user.pk, timezone.now()
    draft.clean()
    draft.save(force_insert=True)
    _append_entry(mapping, "mapping.drafted", author, {"draft": draft.pk, "base": seen.version_number})
    return draft


@transaction.atomic
def discard_draft(draft: MappingDraft, author: ActingPerson) -> None:
    """Discard an open draft. Raises MappingChangeRefused if it is not open any more."""
    _close_draft(draft, DraftState.DISCARDED)
    _append_entry(draft.mapping, "mapping.discarded", author, {"draft": draft.pk})


def activate_version(
    target: MappingDraft | MappingVersion,
    seen: SeenVersions,
    reason: str,
    author: ActingPerson,
    confirmed: Collection[str] = (),
) -> MappingVersion:
    """Put a draft in force, or restore an earlier version, as the next version.

    1. Evaluate it over stored entities, outside the transaction that locks the mapping.
    2. Refuse it, with an entry of the audit log, if `confirmed` lacks the name of a field that gets no value, or that
       loses one.
    3. Lock the mapping, and create the version.

    Deliveries that begin more than a second from now use it. Raises MappingChangedMeanwhile, or MappingChangeRefused,
    also if an enabled route could not find its records any more, and FieldsUnconfirmed.
    """
    reason = " ".join(reason.split())[:500]
    if not reason:
        raise MappingChangeRefused(_("Enter a reason. It is stored with the version."))
    check = _evaluate(target)
    if missing := [name for name in check.fields_to_confirm if name not in confirmed]:
        details: JSONValue = {"fields": list(missing), "entities": check.entity_count, "reason": reason}
        with transaction.atomic():
            _append_entry(target.mapping, "mapping.unconfirmed", author, details)
        raise FieldsUnconfirmed(check)
    return _create_version(target, seen, reason, author, check)


def _evaluate(target: MappingDraft | MappingVersion) -> ActivationCheck:
    current = parse_version(current_version(target.mapping))
    return check_activation(target.mapping, current, parse_mapping(target.declaration))


@transaction.atomic
def _create_version(
    target: MappingDraft | MappingVersion,
    seen: SeenVersions,
    reason: str,
    author: ActingPerson,
    check: ActivationCheck,
) -> MappingVersion:
    mapping = target.mapping
    current, _draft = _lock_unchanged(mapping, seen)
    if current is not None and target.declaration == current.declaration:
        raise MappingChangeRefused(
            _("The active version %(number)s has the same rules.") % {"number": current.number}
        )
    _refuse_gaps(mapping, target.declaration)
    version = MappingVersion(mapping=mapping, number=seen.version_number + 1, declaration=target.declaration)
    version.made_by_id, version.reason = author.user.pk, reason
    version.note, version.text = target.note, target.text
    version.restores = target if isinstance(target, MappingVersion) else None
    copied = copy_fields_with_value(mapping, parse_mapping(target.declaration))
    version.fields_with_value = sorted(copied | check.found)
    # Records that were written without these fields under an earlier version.
    pending = current.fields_to_complete if current is not None else {}
    found_now = dict.fromkeys(sorted(check.found - copied), timezone.now().isoformat())
    version.fields_to_complete = {
        **{name: since for name, since in pending.items() if name in copied},
        **found_now,
    }
    version.clean()
    version.save(force_insert=True)
    if isinstance(target, MappingDraft):
        _close_draft(target, DraftState.ACTIVATED, version)
    details = {"before": _version_details(current), "after": _version_details(version)}
    source = {"draft": target.pk} if isinstance(target, MappingDraft) else {"restores": target.number}
    confirmed = {"confirmed": list(check.fields_to_confirm)} if check.fields_to_confirm else {}
    _append_entry(
        mapping, "mapping.activated", author, {**details, **source, **confirmed, "reason": version.reason}
    )
    return version


def _lock_unchanged(
    mapping: Mapping, seen: SeenVersions
) -> tuple[MappingVersion | None, MappingDraft | None]:
    """Lock the mapping and return its version in force and its open draft. Raises MappingChangedMeanwhile if
    they are not the ones that were `seen`.
    """
    # Two people who save at the same moment take turns, so the second one sees what the first one saved.
    Mapping.objects.select_for_update().get(pk=mapping.pk)
    current, draft = current_version(mapping), open_draft(mapping)
    if seen_versions(current, draft) != seen:
        raise MappingChangedMeanwhile(current, draft)
    return current, draft


def _refuse_gaps(mapping: Mapping, declaration: Any) -> None:
    """Raise MappingChangeRefused, naming the settings, if an enabled route could not work with a declaration."""
    gaps = mapping_gaps(mapping, declaration).enabled_routes
    if gaps:
        sentence = _(
            "Not activated, because deliveries would fail: %(gaps)s Add the fields to the connection's settings, or "
            "disable the route."
        )
        raise MappingChangeRefused(sentence % {"gaps": " ".join(gaps)})


def _note_of(draft: MappingDraft | None) -> str:
    return draft.note if draft else ""


def _close_draft(draft: MappingDraft, state: DraftState, version: MappingVersion | None = None) -> None:
    ended = MappingDraft.objects.filter(pk=draft.pk, state=DraftState.OPEN)
    if not ended.update(state=state, version=version):
        raise MappingChangeRefused(_("This draft no longer exists."))


def _version_details(version: MappingVersion | None) -> JSONValue:
    """Return a version for the audit log. Numbers that canonical JSON does not allow become text."""
    return (
        None
        if version is None
        else {"version": version.number, "declaration": _to_canonical_value(version.declaration)}
    )


def _to_canonical_value(value: Any) -> JSONValue:
    if isinstance(value, dict):
        return {name: _to_canonical_value(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_to_canonical_value(item) for item in value]
    # Canonical JSON has no fractions, and no integers that a float cannot hold exactly.
    is_unsupported = isinstance(value, float) or (isinstance(value, int) and abs(value) >= 2**53)
    return str(value) if is_unsupported else value


def _append_entry(
    mapping: Mapping, action: str, author: ActingPerson, details: Members[str, JSONValue]
) -> None:
    entry_details = {**details, "address": author.address}
    append_entries(NewEntry(mapping.stream, action, author.actor, entry_details))
