"""The table of a mapping as its template shows it: a row for each field of the target, and how a record is found."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config_schema.errors import SettingsInvalid
from console.settings.mappings.mapping_trial import MappingTrial, TrialField
from console.settings.mappings.table.edits import LOOKUPS, show_lookup
from console.settings.mappings.table.known_ends import TargetField
from console.settings.mappings.table.reference_wait import find_wait_error, show_wait
from console.settings.mappings.table.rule_texts import (
    SWITCHES,
    RuleKind,
    find_rule_kind,
    show_value,
)
from console.settings.mappings.words import FUNCTION_LABELS, describe_treatment
from sync.planning.mapping import ParsedMapping
from sync.planning.mapping_declaration import InvalidMapping, parse_mapping
from sync.planning.mapping_rules import FieldRule, MatchRule

SWITCH_LABELS = {
    "required": gettext_lazy("Required: an entity without the value is refused"),
    "caseless": gettext_lazy("Compare without regard to case"),
    "only_on_create": gettext_lazy("Write only when the record is created"),
    "not_compared": gettext_lazy("Send only together with other changes"),
}
ABSENT_LABELS = (
    ("", gettext_lazy("as usual: clear the field, or keep it if the webhook carries a part")),
    ("keep", gettext_lazy("leave out: the record keeps its value")),
    ("clear", gettext_lazy("clear the field of the record")),
)
MISSING_LABELS = (
    ("", gettext_lazy("as usual: the delivery fails")),
    ("fail", gettext_lazy("the delivery fails")),
    ("leave_out", gettext_lazy("leave it out until the record exists")),
)
# Functions that take an unverified address, which verifies nothing.
_UNVERIFIED = frozenset({"first_email"})


@dataclass(frozen=True, slots=True)
class RuleSwitch:
    """A setting of a rule that is true or false."""

    name: str
    label: str
    is_on: bool


@dataclass(frozen=True, slots=True)
class TableRow:
    """A field of the target. `rule` is empty for one that the declaration does not fill. `errors` keep the mapping from
    being saved; `warning` says that no sample has the path. `functions`: those of the rule, and an empty one to add.
    """

    number: int
    target: TargetField
    kind: RuleKind
    value: str
    treatment: str
    rule: Mapping[str, Any]
    is_declared: bool
    is_open: bool
    errors: tuple[str, ...] = ()
    warning: str = ""
    result: TrialField | None = None
    problem: str = ""

    @property
    def functions(self) -> list[str]:
        """The functions of the rule, and an empty choice for one more."""
        return [*self.rule.get("apply", ()), ""]

    @property
    def switches(self) -> list[RuleSwitch]:
        """The settings of the rule that are true or false."""
        return [RuleSwitch(name, str(SWITCH_LABELS[name]), self.rule.get(name) is True) for name in SWITCHES]

    @property
    def notes_id(self) -> str:
        """The id of what is wrong with the value on the page."""
        return f"notes-{self.number}"

    @property
    def result_id(self) -> str:
        """The id of the result on the page."""
        return f"result-{self.number}"

    @property
    def is_red(self) -> bool:
        """True if something about the value is wrong."""
        return bool(self.errors or self.warning)


@dataclass(frozen=True, slots=True)
class LookupValue:
    """An expression of a field in a part of `match`. `functions`: None where it has none; with an empty choice."""

    part: str
    number: int
    path: str
    functions: tuple[str, ...] | None = None
    warning: str = ""

    @property
    def key(self) -> str:
        """The name of the control of the expression."""
        return f"{self.part}-{self.number}"

    @property
    def apply_key(self) -> str:
        """The name of the controls of the functions, without the number."""
        return f"{self.part}_apply"


@dataclass(frozen=True, slots=True)
class LookupRow:
    """A field by which records are found. `values` are its expressions by part of `match`; those that no control shows
    are missing.
    """

    number: int
    name: str
    is_new: bool
    previous: LookupValue | None
    verified: LookupValue | None
    verified_previous: LookupValue | None


@dataclass(frozen=True, slots=True)
class MappingTable:
    """All of the table. `names` are the fields of the declaration. `open_name`: that of the open row.
    `wait`: the minutes that a delivery waits for other records; None if no control shows them.
    """

    rows: tuple[TableRow, ...]
    lookups: tuple[LookupRow, ...]
    names: tuple[str, ...]
    external_id: str
    match_error: str
    open_name: str
    wait: str | None
    wait_error: str

    @property
    def other_names(self) -> list[str]:
        """Return the fields that find no record yet."""
        used = {lookup.name for lookup in self.lookups}
        return [name for name in self.names if name not in used]

    @property
    def id_names(self) -> list[str]:
        """Return the fields that may hold the id of the entity."""
        other = self.external_id and self.external_id not in self.names
        return [*self.names, *([self.external_id] if other else [])]

    @property
    def known_names(self) -> list[str]:
        """Return the names of all functions."""
        return list(FUNCTION_LABELS)

    @property
    def known_functions(self) -> list[tuple[str, str]]:
        """Return the functions of fields, each with its description."""
        return [(name, str(label)) for name, label in FUNCTION_LABELS.items()]

    @property
    def verified_functions(self) -> list[tuple[str, str]]:
        """Return the functions of verified values."""
        return [(name, label) for name, label in self.known_functions if name not in _UNVERIFIED]


def is_table(document: Any) -> bool:
    """Return True if the table can show a document: an object whose `fields` and `match` are objects."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("fields", {}), dict)
        and isinstance(document.get("match", {}), dict)
    )


def build_table(
    document: Mapping[str, Any],
    fields: Mapping[str, TargetField],
    open_name: str,
    trial: MappingTrial | None,
    known_names: Collection[str],
) -> MappingTable:
    """Return the table of a declaration, which may be invalid. `known_names`: the fields that entities have; empty if
    there is no sample.
    """
    rules = document.get("fields", {})
    results = {one.name: one for one in trial.fields} if trial else {}
    problems = trial.problems if trial else {}
    rows = []
    unmapped = [one for one in fields.values() if one.name not in rules and not one.is_read_only]
    for number, name in enumerate([*rules, *(one.name for one in unmapped)]):
        rule = rules.get(name)
        kind = find_rule_kind({} if rule is None else rule)
        is_shown = rule is not None and kind is not RuleKind.JSON
        rows.append(
            TableRow(
                number,
                fields.get(name, TargetField(name)),
                kind,
                "" if rule is None else show_value(rule, kind),
                describe_treatment(rule) if is_shown else "",
                rule if is_shown else {},
                is_declared=name in rules,
                is_open=name == open_name and kind is not RuleKind.JSON,
                errors=tuple(_rule_errors(name, rule)) if name in rules else (),
                warning=find_unknown_path(show_value(rule, kind), known_names)
                if kind is RuleKind.PATH and rule
                else "",
                result=results.get(name),
                problem=problems.get(name, ""),
            )
        )
    match = document.get("match", {})
    return MappingTable(
        tuple(rows),
        tuple(_list_lookups(match, known_names)),
        tuple(rules),
        match["external_id"] if isinstance(match.get("external_id"), str) else "",
        _match_error(match),
        open_name,
        show_wait(document),
        find_wait_error(document),
    )


def parse_valid_part(document: Mapping[str, Any]) -> ParsedMapping | None:
    """Parse a declaration without the rules that are invalid, and without its matching if that is; None if no rule is
    valid.
    """
    rules = document.get("fields", {})
    valid = {name: rule for name, rule in rules.items() if not any(_rule_errors(name, rule))}
    for rest in (document, {}):
        try:
            return parse_mapping({**rest, "fields": valid})
        except InvalidMapping:
            continue
    return None


def find_unknown_path(path: str, known_names: Collection[str]) -> str:
    """Return a sentence if an expression reads a field of the entity that no sample has; empty otherwise."""
    if not known_names or not path:
        return ""
    try:
        read = FieldRule.kind.read({"path": path}, ()).path
    except SettingsInvalid:
        return ""
    unknown = sorted((read.entity_fields or frozenset()) - frozenset(known_names)) if read else []
    if not unknown:
        return ""
    return _("No sample has “%(names)s”. Check the spelling.") % {"names": "”, “".join(unknown)}


def _rule_errors(name: str, rule: Any) -> Iterator[str]:
    try:
        FieldRule.kind.read(rule, ("fields", name))
    except SettingsInvalid as invalid:
        inner = ".".join(str(step) for step in invalid.place[2:] if step != "path")
        yield f"{inner}: {invalid.sentence}" if inner else invalid.sentence


def _match_error(match: Any) -> str:
    try:
        MatchRule.kind.read(match, ())
    except SettingsInvalid as invalid:
        return f"{invalid.path}: {invalid.sentence}"
    return ""


def _list_lookups(match: Mapping[str, Any], known_names: Collection[str]) -> Iterator[LookupRow]:
    new = match.get("new", [])
    new_names = [name for name in new if isinstance(name, str)] if isinstance(new, list) else []
    names = [*new_names]
    for part in LOOKUPS:
        found = _lookup_part(match, part)
        names += [name for name in found if name not in names]
    for number, name in enumerate(names):
        previous, verified, verified_previous = (
            _lookup_value(part, number, _lookup_part(match, part).get(name), known_names) for part in LOOKUPS
        )
        yield LookupRow(number, name, name in new_names, previous, verified, verified_previous)


def _lookup_part(match: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    value: Any = match
    for step in part.split("."):
        value = value.get(step, {}) if isinstance(value, Mapping) else {}
    return value if isinstance(value, Mapping) else {}


def _lookup_value(part: str, number: int, value: Any, known_names: Collection[str]) -> LookupValue | None:
    path = show_lookup(value)
    if path is None:
        return None
    functions = (*value.get("apply", ()), "") if isinstance(value, Mapping) else None
    # The others look into the previous values of a webhook.
    warning = find_unknown_path(path, known_names) if part == "verified.new" else ""
    return LookupValue(part, number, path, functions, warning)
