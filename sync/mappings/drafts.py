"""How a mapping changes: a draft is saved, and later put in force as the next version; each by one person, in one
commit with its audit entry.

Two people at once: whoever saves or activates says what stood there when they began, and is refused where something
else stands there by now.
"""

from collections.abc import Mapping as Members
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from sync.models import DraftState, Mapping, MappingDraft, MappingVersion


class Overtaken(Exception):
    """Somebody else was first: what stands there now."""

    def __init__(self, current: MappingVersion | None, draft: MappingDraft | None) -> None:
        super().__init__("somebody else changed this mapping meanwhile")
        self.current = current
        self.draft = draft


class NotChanged(ValueError):
    """Why nothing was done, in a sentence for the person who asked."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who does it, and from where."""

    user: AbstractBaseUser
    address: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """A declaration, and the text in which somebody typed it."""

    declaration: Any
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a person began from: the number of the version in force and the key of the open draft, 0 for none."""

    version: int
    draft: int


def current_of(mapping: Mapping) -> MappingVersion | None:
    """The version in force; None before the first."""
    return mapping.versions.select_related("made_by").order_by("-number").first()


def draft_of(mapping: Mapping) -> MappingDraft | None:
    """The open draft."""
    drafts = mapping.drafts.filter(state=DraftState.OPEN)
    return drafts.select_related("made_by", "base").first()


def seen_of(current: MappingVersion | None, draft: MappingDraft | None) -> Seen:
    """What a page shows that is made now."""
    return Seen(current.number if current else 0, draft.pk if draft else 0)


@transaction.atomic
def save_draft(mapping: Mapping, written: Written, note: str, seen: Seen, author: Author) -> MappingDraft:
    """Keep a declaration as the open draft, in place of the one that was `seen`. `Overtaken` where another one is open
    by now or another version is in force; `NotChanged` where it says nothing new.
    """
    current, open_draft = _locked(mapping, seen)
    standing = open_draft or current
    if standing is not None and (standing.declaration_text, _note(open_draft)) == (
        written.text,
        note.strip()[:500],
    ):
        raise NotChanged("Nothing was changed: it says what it said before.")
    if open_draft is not None:
        _end(open_draft, DraftState.REPLACED)
    made = MappingDraft(mapping=mapping, note=note.strip()[:500], base=current)
    made.declaration, made.text = written.declaration, written.text
    made.made_by_id, made.made_at = author.user.pk, timezone.now()
    made.clean()
    made.save(force_insert=True)
    _record(mapping, "mapping.drafted", author, {"draft": made.pk, "base": seen.version})
    return made


@transaction.atomic
def discard_draft(draft: MappingDraft, author: Author) -> None:
    """`NotChanged` where it is not open any more."""
    _end(draft, DraftState.DISCARDED)
    _record(draft.mapping, "mapping.discarded", author, {"draft": draft.pk})


@transaction.atomic
def activate(
    target: MappingDraft | MappingVersion, seen: Seen, reason: str, author: Author
) -> MappingVersion:
    """Put a draft in force, or go back to an earlier version: the next version, which every delivery uses that begins
    later than a second from now. `Overtaken`, `NotChanged`.
    """
    reason = " ".join(reason.split())[:500]
    if not reason:
        raise NotChanged("Say why: the reason is kept with the version.")
    mapping = target.mapping
    current, _ = _locked(mapping, seen)
    if current is not None and target.declaration == current.declaration:
        raise NotChanged(f"Version {current.number}, which is in force, says the same.")
    made = MappingVersion(mapping=mapping, number=seen.version + 1, declaration=target.declaration)
    made.made_by_id, made.reason = author.user.pk, reason
    made.note, made.text = target.note, target.text
    made.restores = target if isinstance(target, MappingVersion) else None
    made.clean()
    made.save(force_insert=True)
    if isinstance(target, MappingDraft):
        _end(target, DraftState.ACTIVATED, made)
    details = {"before": _told(current), "after": _told(made)}
    source = {"draft": target.pk} if isinstance(target, MappingDraft) else {"restores": target.number}
    _record(mapping, "mapping.activated", author, {**details, **source, "reason": made.reason})
    return made


def _locked(mapping: Mapping, seen: Seen) -> tuple[MappingVersion | None, MappingDraft | None]:
    """The version in force and the open draft, which nobody can change before this commit; `Overtaken`."""
    Mapping.objects.select_for_update().get(pk=mapping.pk)
    current, open_draft = current_of(mapping), draft_of(mapping)
    if seen_of(current, open_draft) != seen:
        raise Overtaken(current, open_draft)
    return current, open_draft


def _note(draft: MappingDraft | None) -> str:
    return draft.note if draft else ""


def _end(draft: MappingDraft, state: DraftState, version: MappingVersion | None = None) -> None:
    ended = MappingDraft.objects.filter(pk=draft.pk, state=DraftState.OPEN)
    if not ended.update(state=state, version=version):
        raise NotChanged("This draft is not open any more.")


def _told(version: MappingVersion | None) -> JSONValue:
    """As the audit log has it: declarations hold numbers that canonical JSON does not know."""
    return (
        None if version is None else {"version": version.number, "declaration": _plain(version.declaration)}
    )


def _plain(value: Any) -> JSONValue:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    is_odd = isinstance(value, float) or (isinstance(value, int) and abs(value) >= 2**53)
    return str(value) if is_odd else value


def _record(mapping: Mapping, action: str, author: Author, details: Members[str, JSONValue]) -> None:
    told = {**details, "address": author.address}
    append_entries(NewEntry(mapping.stream, action, f"person:{author.user.pk}", told))
