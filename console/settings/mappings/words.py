"""Mapping rules and functions as sentences, and the differences of two versions."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

FUNCTION_LABELS: Mapping[str, Promise] = {
    "verified_email": gettext_lazy("the first verified address, never an unverified one"),
    "first_email": gettext_lazy("the first address, verified or not"),
    "first": gettext_lazy("the first value of the list"),
    "text": gettext_lazy("converted to text"),
    "trim": gettext_lazy("without leading and trailing spaces"),
    "lower": gettext_lazy("lower-cased"),
    "upper": gettext_lazy("upper-cased"),
    "date": gettext_lazy("the date in UTC, such as 2026-02-28"),
    "md5": gettext_lazy("its MD5 digest in hex"),
    "sha256": gettext_lazy("its SHA-256 digest in hex"),
    "items": gettext_lazy("the fields of the object, as a list of key and value"),
    "zip": gettext_lazy("the items of the lists, combined one by one"),
}


def describe_functions(functions: Iterable[str]) -> str:
    """Describe functions in the order that they apply; without any: "unchanged"."""
    return ", ".join(str(FUNCTION_LABELS.get(function, function)) for function in functions) or _("unchanged")


Declaration = Mapping[str, Any]
_MAX_LINES = 2_000


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A sentence about one field or, with `is_field` False, one lookup of a record."""

    name: str
    sentence: str
    is_field: bool = True


@dataclass(frozen=True, slots=True)
class RuleDifference:
    """The difference of one field or lookup. `kind`: added, removed or changed."""

    kind: str
    name: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a text diff. `kind`: added, removed, same or place."""

    kind: str
    text: str


def describe_rules(declaration: Declaration) -> list[RuleRow]:
    """Describe every field, then how the record is looked up."""
    fields = [RuleRow(name, _rule_text(rule)) for name, rule in declaration.get("fields", {}).items()]
    return fields + [
        RuleRow(name, sentence, is_field=False) for name, sentence in _lookup_texts(declaration).items()
    ]


def diff_declarations(before: Declaration | None, after: Declaration) -> list[RuleDifference]:
    """Return the differences field by field; empty if both declarations mean the same."""
    old, new = (before or {}).get("fields", {}), after.get("fields", {})
    differences = [
        difference
        for name in {**old, **new}
        if (difference := _diff_rule(name, old.get(name), new.get(name)))
    ]
    waits = ((before or {}).get("reference_wait_minutes"), after.get("reference_wait_minutes"))
    if before is not None and waits[0] != waits[1]:
        differences.append(RuleDifference("changed", _("Wait for references"), (_wait_text(*waits),)))
    return differences + list(_diff_lookups(before or {}, after))


def _wait_text(before: int | None, now: int | None) -> str:
    minutes = [
        _("the default") if one is None else _("%(number)d minutes") % {"number": one}
        for one in (now, before)
    ]
    return _("%(now)s, instead of: %(before)s") % {"now": minutes[0], "before": minutes[1]}


def diff_texts(before: str, after: str) -> list[DiffLine]:
    """Return the unified diff of two texts, with three lines of context."""
    kinds = {"+": "added", "-": "removed", "@": "place"}
    text = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)
    shown = [line for line in text if not line.startswith(("---", "+++"))][:_MAX_LINES]
    return [DiffLine(kinds.get(line[:1], "same"), line[1:] if line[:1] != "@" else "…") for line in shown]


def _rule_text(rule: Mapping[str, Any]) -> str:
    return "; ".join((_rule_source_text(rule), *_treatment_texts(rule)))


def describe_treatment(rule: Mapping[str, Any]) -> str:
    """Describe how the value of a rule is converted, and when it is written; empty if it is taken as it is."""
    return "; ".join(_treatment_texts(rule))


def _treatment_texts(rule: Mapping[str, Any]) -> Iterator[str]:
    if rule.get("apply"):
        yield describe_functions(rule["apply"])
    if rule.get("required"):
        yield _("required")
    if rule.get("caseless"):
        yield _("case-insensitive comparison")
    yield from _option_texts(rule).values()


def _option_texts(rule: Mapping[str, Any]) -> dict[str, str]:
    """Describe by setting when the value is written, and what it refers to."""
    texts = {}
    if rule.get("only_on_create"):
        texts["only_on_create"] = _("written only when the record is created")
    if rule.get("not_compared"):
        texts["not_compared"] = _("sent only together with other changes")
    if rule.get("when_absent"):
        keeps = rule["when_absent"] == "keep"
        texts["when_absent"] = (
            _("kept if the entity has no value") if keeps else _("cleared if the entity has no value")
        )
    if rule.get("linked"):
        texts["linked"] = _("the id of its %(type)s record in this target") % {"type": rule["linked"]}
    if rule.get("when_missing") == "leave_out":
        texts["when_missing"] = _("left out if a record that it refers to is still missing after the wait")
    return texts


def _rule_source_text(rule: Mapping[str, Any]) -> str:
    if "path" in rule:
        return _("taken from %(path)s") % {"path": rule["path"]}
    return _("always %(value)s") % {"value": _json_text(rule.get("constant"))}


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _diff_rule(name: str, old: Any, new: Any) -> RuleDifference | None:
    if old is None:
        return RuleDifference("added", name, (_rule_text(new),))
    if new is None:
        return RuleDifference(
            "removed", name, (_("No longer sent. The rule was: %(rule)s.") % {"rule": _rule_text(old)},)
        )
    text = tuple(_list_rule_changes(old, new))
    return RuleDifference("changed", name, text) if text else None


def _list_rule_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if _rule_source_text(old) != _rule_source_text(new):
        yield _("%(now)s instead of %(before)s") % {
            "now": _rule_source_text(new),
            "before": _rule_source_text(old),
        }
    if list(old.get("apply", [])) != list(new.get("apply", [])):
        yield _("now %(now)s instead of %(before)s") % {
            "now": describe_functions(new.get("apply", [])),
            "before": describe_functions(old.get("apply", [])),
        }
    if bool(old.get("required")) != bool(new.get("required")):
        now, no_more = (
            _("now required: the delivery fails if the entity has no value"),
            _("no longer required"),
        )
        yield now if new.get("required") else no_more
    if bool(old.get("caseless")) != bool(new.get("caseless")):
        now = _("comparison is now case-insensitive")
        yield now if new.get("caseless") else _("comparison is now case-sensitive")
    was, becomes = _option_texts(old), _option_texts(new)
    for name in {**was, **becomes}:
        if was.get(name) != becomes.get(name):
            yield (
                _("now %(now)s") % {"now": becomes[name]}
                if name in becomes
                else _("no longer %(before)s") % {"before": was[name]}
            )


def _lookup_texts(declaration: Declaration) -> dict[str, str]:
    """Describe by title how the record of an entity without a link is looked up."""
    match = declaration.get("match", {})
    texts = {}
    if match.get("external_id"):
        text = _("the record whose %(field)s is the entity's id")
        texts[_("Match by id")] = text % {"field": match["external_id"]}
    for name, path in match.get("previous", {}).items():
        text = _("the record whose %(field)s is the previous value of %(path)s")
        texts[_("Match by previous %(field)s") % {"field": name}] = text % {"field": name, "path": path}
    if match.get("new"):
        text = _("before a record is created: a record with the same %(fields)s")
        texts[_("Match by new values")] = text % {"fields": ", ".join(match["new"])}
    verified = match.get("verified", {})
    for name, rule in verified.get("previous", {}).items():
        texts[_("Verified previous %(field)s") % {"field": name}] = _rule_text(rule)
    for name, rule in verified.get("new", {}).items():
        texts[_("Verified %(field)s") % {"field": name}] = _rule_text(rule)
    return texts


def _diff_lookups(before: Declaration, after: Declaration) -> Iterator[RuleDifference]:
    old, new = _lookup_texts(before), _lookup_texts(after)
    for name in {**old, **new}:
        if name not in old:
            yield RuleDifference("added", name, (new[name],))
        elif name not in new:
            yield RuleDifference("removed", name, (_("Removed: %(rule)s.") % {"rule": old[name]},))
        elif old[name] != new[name]:
            yield RuleDifference(
                "changed",
                name,
                (_("%(now)s, instead of: %(before)s") % {"now": new[name], "before": old[name]},),
            )
