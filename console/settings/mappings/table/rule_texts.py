"""Rules of a declaration as the texts of the table's controls, and back. Pure.

A control shows a part of the declaration. A text that equals the shown one changes nothing, so that the declaration
keeps what no control shows, and what nobody changed, as it was written.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from console.base.json_text import JsonTextError, parse_json_text

# Settings of a rule that are true or false, and those that are one text.
SWITCHES = ("required", "caseless", "only_on_create", "not_compared")
TEXT_OPTIONS = ("when_absent", "linked", "when_missing")
_OPENING_MARKS = ("{", "[", '"')


class RuleKind(StrEnum):
    """How the table edits a rule. `JSON`: not at all, because no control shows what it says."""

    PATH = "path"
    CONSTANT = "constant"
    JSON = "json"


def find_rule_kind(rule: Any) -> RuleKind:
    """Return how the table edits a rule."""
    if not isinstance(rule, Mapping) or ("path" in rule and "constant" in rule):
        return RuleKind.JSON
    functions = rule.get("apply", [])
    is_shown = (
        isinstance(functions, list)
        and all(isinstance(name, str) and name for name in functions)
        and all(isinstance(rule.get(name, False), bool) for name in SWITCHES)
        and all(rule.get(name) is None or _is_line(rule[name]) for name in TEXT_OPTIONS)
    )
    if not is_shown:
        return RuleKind.JSON
    if "constant" in rule:
        return RuleKind.CONSTANT
    return RuleKind.PATH if _is_line(rule.get("path", "")) else RuleKind.JSON


def show_value(rule: Mapping[str, Any], kind: RuleKind) -> str:
    """Return the text of the value of a rule: its expression, or its constant."""
    if kind is RuleKind.CONSTANT:
        return show_constant(rule.get("constant"))
    return str(rule.get("path", "")) if kind is RuleKind.PATH else json.dumps(rule, ensure_ascii=False)


def show_constant(value: Any) -> str:
    """Return the text of a constant: a text as it is, unless that would be read as something else, and JSON."""
    if _is_line(value) and not _is_read_as_json(value):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def read_constant(text: str) -> Any:
    """Return the constant that a person typed: what is JSON, or a text. Raises JsonTextError for JSON with an error."""
    if text.strip().startswith(_OPENING_MARKS) or _is_read_as_json(text):
        return parse_json_text(text)
    return text


def _is_read_as_json(text: str) -> bool:
    if text.strip().startswith(_OPENING_MARKS):
        return True
    try:
        parse_json_text(text)
    except JsonTextError:
        return False
    return True


def _is_line(value: Any) -> bool:
    """Return True for a text that a control of one line shows and sends as it is."""
    return isinstance(value, str) and "\n" not in value and "\r" not in value and "\0" not in value
