"""Rules of a mapping, its functions, and the differences of two versions, in words."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

FUNCTION_WORDS: Mapping[str, Promise] = {
    "first_verified_email": gettext_lazy("the first verified address"),
    "first": gettext_lazy("the first of the list"),
    "text": gettext_lazy("as text"),
    "trim": gettext_lazy("without spaces around it"),
    "lower": gettext_lazy("in small letters"),
    "upper": gettext_lazy("in capitals"),
}


def in_words(functions: Iterable[str]) -> str:
    """What these functions do, one after the other; of none of them: as it is."""
    return ", ".join(str(FUNCTION_WORDS.get(each, each)) for each in functions) or _("as it is")


Declaration = Mapping[str, Any]
_MOST_LINES = 2_000


@dataclass(frozen=True, slots=True)
class RuleShown:
    """One field and how it is made."""

    name: str
    sentence: str
    is_field: bool = True


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of one field, or of how a record is looked up. `kind`: added, removed or changed."""

    kind: str
    name: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the two texts side by side; `kind`: added, removed, same or place."""

    kind: str
    text: str


def rules(declaration: Declaration) -> list[RuleShown]:
    """Every field in words, then how the record is looked up."""
    fields = [RuleShown(name, _rule(rule)) for name, rule in declaration.get("fields", {}).items()]
    return fields + [
        RuleShown(name, sentence, is_field=False) for name, sentence in _lookups(declaration).items()
    ]


def differences(before: Declaration | None, after: Declaration) -> list[Difference]:
    """Field by field, what the second one does otherwise; empty where they mean the same."""
    old, new = (before or {}).get("fields", {}), after.get("fields", {})
    found = [each for name in {**old, **new} if (each := _difference(name, old.get(name), new.get(name)))]
    return found + list(_lookup_differences(before or {}, after))


def lines(before: str, after: str) -> list[Line]:
    """The two texts line by line, with three lines around each change."""
    kinds = {"+": "added", "-": "removed", "@": "place"}
    told = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)
    shown = [line for line in told if not line.startswith(("---", "+++"))][:_MOST_LINES]
    return [Line(kinds.get(line[:1], "same"), line[1:] if line[:1] != "@" else "…") for line in shown]


def _rule(rule: Mapping[str, Any]) -> str:
    parts = [_source(rule)]
    if rule.get("apply"):
        parts.append(in_words(rule["apply"]))
    if rule.get("required"):
        parts.append(_("required"))
    if rule.get("caseless"):
        parts.append(_("capital letters do not count as a difference"))
    return "; ".join(parts)


def _source(rule: Mapping[str, Any]) -> str:
    if "path" in rule:
        return _("taken from %(path)s") % {"path": rule["path"]}
    return _("always %(value)s") % {"value": _value(rule.get("constant"))}


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _difference(name: str, old: Any, new: Any) -> Difference | None:
    if old is None:
        return Difference("added", name, (_rule(new),))
    if new is None:
        return Difference(
            "removed", name, (_("It is not sent any more. It was %(rule)s.") % {"rule": _rule(old)},)
        )
    told = tuple(_changes(old, new))
    return Difference("changed", name, told) if told else None


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if _source(old) != _source(new):
        yield _("%(now)s instead of %(before)s") % {"now": _source(new), "before": _source(old)}
    if list(old.get("apply", [])) != list(new.get("apply", [])):
        yield _("now %(now)s instead of %(before)s") % {
            "now": in_words(new.get("apply", [])),
            "before": in_words(old.get("apply", [])),
        }
    if bool(old.get("required")) != bool(new.get("required")):
        now, no_more = _("now required: an entity without it fails"), _("not required any more")
        yield now if new.get("required") else no_more
    if bool(old.get("caseless")) != bool(new.get("caseless")):
        now = _("capital letters do not count as a difference any more")
        yield now if new.get("caseless") else _("capital letters count as a difference again")


def _lookups(declaration: Declaration) -> dict[str, str]:
    """By what the record of an entity is found, where there is no link yet, in words."""
    match = declaration.get("match", {})
    found = {}
    if match.get("external_id"):
        told = _("the record whose %(field)s is the entity's id")
        found[_("Looked up by id")] = told % {"field": match["external_id"]}
    for name, path in match.get("previous", {}).items():
        told = _("the record whose %(field)s is what %(path)s was before the change")
        found[_("Looked up by the old %(field)s") % {"field": name}] = told % {"field": name, "path": path}
    if match.get("new"):
        told = _("before one is created: a record that has the same %(fields)s")
        found[_("Looked up by new values")] = told % {"fields": ", ".join(match["new"])}
    return found


def _lookup_differences(before: Declaration, after: Declaration) -> Iterator[Difference]:
    old, new = _lookups(before), _lookups(after)
    for name in {**old, **new}:
        if name not in old:
            yield Difference("added", name, (new[name],))
        elif name not in new:
            yield Difference("removed", name, (_("Not any more: %(rule)s.") % {"rule": old[name]},))
        elif old[name] != new[name]:
            yield Difference(
                "changed",
                name,
                (_("%(now)s, instead of: %(before)s") % {"now": new[name], "before": old[name]},),
            )
