"""What a person entered in the table of a mapping, as edits of its declaration. Pure."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from config_schema.errors import SettingPath
from console.base.json_text import JsonTextError
from console.document_forms.json_edits import rewrite_json
from console.document_forms.pointers import find_value, has_place, remove_value, rename_key, set_value
from console.settings.mappings.table.reference_wait import NAME as REFERENCE_WAIT
from console.settings.mappings.table.reference_wait import read_wait, show_wait
from console.settings.mappings.table.rule_texts import (
    SWITCHES,
    TEXT_OPTIONS,
    RuleKind,
    find_rule_kind,
    read_constant,
    show_value,
)
from sync.planning.mapping_rules import MAX_FIELDS, MAX_PATH

MAX_NAME = 200
# The parts of `match` that have one expression for each field.
LOOKUPS = ("previous", "verified.new", "verified.previous")
_LAST_NAME = re.compile(r"([A-Za-z_]\w*)(?:\[[0-9]+\])*\Z", re.ASCII)


@dataclass(slots=True)
class TableEdit:
    """A declaration that is edited. `open_row`: the field whose row is open. `problems`: what could not be done."""

    document: Any
    open_row: str = ""
    problems: list[str] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)

    def read_controls(self, posted: QueryDict) -> None:
        """Apply what the controls of a posted form changed."""
        self.open_row = _clean(posted.get("open_row"))
        for number in range(2 * MAX_FIELDS):
            if (name := posted.get(f"row-{number}")) is not None:
                self._names[str(number)] = self._read_row(posted, number, _clean(name))
        _LookupEdit(self, posted).read_controls()
        typed = posted.get("reference_wait")
        if typed is not None and _clean(typed).strip() != show_wait(self.document):
            self._put((REFERENCE_WAIT,), read_wait(_clean(typed)))

    def press(self, posted: QueryDict) -> None:
        """Do what the pressed button of the table says."""
        if "pick" in posted:
            self.open_row = _clean(posted.get("fill_row")) or self.open_row
            self._pick(_clean(posted.get("pick"))[:MAX_PATH])
            return
        verb, _colon, number = posted.get("act", "").partition(":")
        name = self._names.get(number, "")
        actions: dict[str, Callable[[], None]] = {
            "open": lambda: setattr(self, "open_row", name),
            "close": lambda: setattr(self, "open_row", ""),
            "up": lambda: self._move(name, -1),
            "down": lambda: self._move(name, 1),
            "remove": lambda: self._set(remove_value(self.document, ("fields", name))),
            "add": lambda: self._add(_clean(posted.get("add_field")).strip()),
            "add_lookup": lambda: self._add_lookup(_clean(posted.get("add_lookup"))),
            "remove_lookup": lambda: self._remove_lookup(_clean(posted.get(f"lookup-{number}"))),
        }
        if verb in actions:
            actions[verb]()

    def rewrite(self, text: str) -> str:
        """Return the text of the edited declaration, made from the text that it was read from."""
        return rewrite_json(text, self.document)

    def _set(self, document: Any) -> None:
        self.document = document

    def _put(self, place: SettingPath, value: Any) -> None:
        """Set a value; None removes it."""
        changed = (
            remove_value(self.document, place) if value is None else set_value(self.document, place, value)
        )
        self.document = changed

    def _read_row(self, posted: QueryDict, number: int, name: str) -> str:
        """Apply the controls of one row. Returns the name that its field has then."""
        place: SettingPath = ("fields", name)
        if not has_place(self.document, place):
            if path := _clean(posted.get(f"value-{number}")).strip():
                self._put(place, {"path": path})
        elif find_rule_kind(find_value(self.document, place)) is not RuleKind.JSON:
            self._read_value(posted, number, place)
            if f"is_open-{number}" in posted:
                self._read_options(posted, number, place)
                return self._rename(name, _clean(posted.get(f"name-{number}", name)).strip())
        return name

    def _read_value(self, posted: QueryDict, number: int, place: SettingPath) -> None:
        rule = find_value(self.document, place)
        kind = find_rule_kind(rule)
        typed = _clean(posted.get(f"value-{number}", show_value(rule, kind)))
        is_constant = posted.get(f"kind-{number}", kind) == RuleKind.CONSTANT
        chosen = RuleKind.CONSTANT if is_constant else RuleKind.PATH
        if typed == show_value(rule, kind) and chosen == kind:
            return
        try:
            value = read_constant(typed) if is_constant else typed
        except JsonTextError as error:
            self.problems.append(f"{place[-1]}: {error}")
            return
        if chosen != kind:
            self.document = rename_key(self.document, (*place, kind.value), chosen.value)
        self.document = set_value(self.document, (*place, chosen.value), value)

    def _read_options(self, posted: QueryDict, number: int, place: SettingPath) -> None:
        rule = find_value(self.document, place)
        functions = [_clean(name) for name in posted.getlist(f"apply-{number}") if name]
        if functions != rule.get("apply", []):
            self._put((*place, "apply"), functions or None)
        for name in SWITCHES:
            is_on = f"{name}-{number}" in posted
            if is_on != rule.get(name, False):
                self._put((*place, name), is_on or None)
        for name in TEXT_OPTIONS:
            typed = _clean(posted.get(f"{name}-{number}")).strip()
            if typed != (rule.get(name) or ""):
                self._put((*place, name), typed or None)

    def _rename(self, name: str, typed: str) -> str:
        if typed == name:
            return name
        if not self._is_free(typed):
            return name
        self.document = rename_key(self.document, ("fields", name), typed)
        if self.open_row == name:
            self.open_row = typed
        return typed

    def _is_free(self, name: str) -> bool:
        """Return True if a field may get this name; else note why not."""
        if not name or len(name) > MAX_NAME:
            self.problems.append(
                _("Enter the name of a field, at most %(most)s characters.") % {"most": MAX_NAME}
            )
            return False
        if has_place(self.document, ("fields", name)):
            self.problems.append(_("The field “%(name)s” is in the table already.") % {"name": name})
            return False
        return True

    def _add(self, name: str) -> None:
        if self._is_free(name):
            self._put(("fields", name), {"path": ""})
            self.open_row = name

    def _move(self, name: str, by: int) -> None:
        fields = find_value(self.document, ("fields",))
        names = list(fields) if isinstance(fields, dict) else []
        if name not in names or not 0 <= names.index(name) + by < len(names):
            return
        index = names.index(name)
        names[index], names[index + by] = names[index + by], names[index]
        self._put(("fields",), {one: fields[one] for one in names})

    def _pick(self, path: str) -> None:
        """Make an expression the value of the open row; without one, of a new row with the name of its last field."""
        name = self.open_row
        if not name:
            last = _LAST_NAME.search(path)
            name = self._free_name(last[1] if last else "field")
            self.open_row = name
        place: SettingPath = ("fields", name)
        if not has_place(self.document, place):
            self._put(place, {"path": path})
            return
        rule = find_value(self.document, place)
        if find_rule_kind(rule) is RuleKind.JSON:
            self.problems.append(_("The field “%(name)s” can only be edited as JSON.") % {"name": name})
            return
        self.document = set_value(
            rename_key(self.document, (*place, "constant"), "path"), (*place, "path"), path
        )

    def _free_name(self, name: str) -> str:
        numbered = (name, *(f"{name}_{number}" for number in range(2, MAX_FIELDS + 2)))
        return next(one for one in numbered if not has_place(self.document, ("fields", one)))

    def _add_lookup(self, name: str) -> None:
        names = find_value(self.document, ("match", "new"), [])
        if name and isinstance(names, list) and name not in names:
            self._put(("match", "new"), [*names, name])

    def _remove_lookup(self, name: str) -> None:
        names = find_value(self.document, ("match", "new"), [])
        if isinstance(names, list) and name in names:
            self._put(("match", "new"), [one for one in names if one != name] or None)
        for lookup in LOOKUPS:
            self.document = remove_value(self.document, ("match", *lookup.split("."), name))


@dataclass(frozen=True, slots=True)
class _LookupEdit:
    """The controls that say how a record is found."""

    edit: TableEdit
    posted: QueryDict

    def read_controls(self) -> None:
        """Apply what they changed in `match`."""
        self._read_external_id()
        for number, name in self._posted_fields():
            self._read_new(number, name)
            for lookup in LOOKUPS:
                self._read_lookup(number, name, lookup)

    def _posted_fields(self) -> Iterator[tuple[int, str]]:
        for number in range(MAX_FIELDS):
            name = self.posted.get(f"lookup-{number}")
            if name is not None:
                yield number, _clean(name)

    def _read_external_id(self) -> None:
        typed = self.posted.get("external_id")
        place: SettingPath = ("match", "external_id")
        before = find_value(self.edit.document, place)
        if typed is not None and _clean(typed) != (before if isinstance(before, str) else ""):
            self._put(place, _clean(typed) or None)

    def _read_new(self, number: int, name: str) -> None:
        place: SettingPath = ("match", "new")
        names = find_value(self.edit.document, place, [])
        is_on = f"lookup_new-{number}" in self.posted
        if isinstance(names, list) and is_on != (name in names):
            self._put(place, [*names, name] if is_on else [one for one in names if one != name])

    def _read_lookup(self, number: int, name: str, lookup: str) -> None:
        """Apply the expression of a field in a part of `match`, and its functions if it has any."""
        typed = self.posted.get(f"{lookup}-{number}")
        place: SettingPath = ("match", *lookup.split("."), name)
        before = find_value(self.edit.document, place)
        shown = show_lookup(before)
        if typed is None or shown is None:
            return
        if _clean(typed).strip() != shown:
            path = _clean(typed).strip()
            value: Any = path or None
            if path and lookup != "previous":
                value = {**(before or {}), "path": path}
            self._put(place, value)
            before = find_value(self.edit.document, place)
        key = f"{lookup}_apply-{number}"
        if isinstance(before, dict) and key in self.posted:
            functions = [_clean(one) for one in self.posted.getlist(key) if one]
            if functions != before.get("apply", []):
                self._put((*place, "apply"), functions or None)

    def _put(self, place: SettingPath, value: Any) -> None:
        document = self.edit.document
        self.edit.document = (
            remove_value(document, place) if value is None else set_value(document, place, value)
        )


def show_lookup(value: Any) -> str | None:
    """Return the expression of a field in a part of `match`, "" if there is none. None: no control shows it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value if value == value.strip() and "\n" not in value else None
    if find_rule_kind(value) is not RuleKind.PATH:
        return None
    return show_lookup(value.get("path", ""))


def _clean(text: str | None) -> str:
    # PostgreSQL does not store NUL.
    return (text or "").replace("\0", "")
