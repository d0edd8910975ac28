"""Texts of a request that may hold placeholders, and which placeholders each operation fills in. Pure."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import JsonSchema, Text, TextMap, ValueKind
from config_schema.rules import CodeRule, Fault, NamedValues
from connectors.http.placeholders import (
    PLACEHOLDER_PATTERN,
    find_fault,
    other_placeholders,
    replace_placeholders,
)
from connectors.http.query_parameters import list_values
from connectors.http.urls import is_plain_path
from connectors.settings.setting_kinds import (
    MAX_PARAMETERS,
    Headers,
    path_pattern,
)

SEARCHED = frozenset({"field", "value"})


@dataclass(frozen=True)
class OperationPath(ValueKind[str]):
    """A path below the base URL whose segments may hold placeholders."""

    label: str = "path"
    limits: str = "begins with `/`; contains placeholders, but neither `.` nor `..` nor encoded characters"

    def read(self, value: Any, place: SettingPath) -> str:
        path = Text().read(value, place)
        if not path.startswith("/") or not is_plain_path(replace_placeholders(path, "x")):
            sentence = (
                "This must be a path that begins with / and contains neither . nor .. nor encoded characters."
            )
            raise SettingsInvalid(place, sentence)
        return path

    def to_schema(self) -> JsonSchema:
        return {"type": "string", "pattern": path_pattern(PLACEHOLDER_PATTERN)}


@dataclass(frozen=True)
class HeaderTemplates(Headers):
    """Headers whose values are texts with placeholders."""

    def read(self, value: Any, place: SettingPath) -> dict[str, str]:
        texts = TextMap().read(value, place)
        if len(texts) > MAX_PARAMETERS:
            raise SettingsInvalid(place, f"This may have at most {MAX_PARAMETERS} entries.")
        super().read({name: replace_placeholders(text, "x") for name, text in texts.items()}, place)
        return texts

    def to_schema(self) -> JsonSchema:
        # A value that is too long may be short enough without the names of its placeholders.
        values = {"type": "string", "pattern": r"^[!-~](?:[ -~]*[!-~])?$"}
        return {**super().to_schema(), "maxProperties": MAX_PARAMETERS, "additionalProperties": values}


def placeholder_rule(names: Collection[str]) -> CodeRule:
    """Return the rule that texts hold only placeholders which an operation fills in: these, and the names in
    `values`. In quotes they need a style.
    """
    known = frozenset(names)
    listed = ", ".join(f"`{{{name}}}`" for name in sorted(known))

    def find(values: NamedValues) -> Fault | None:
        allowed = known | values["values"].keys()
        for setting, text, in_text, unquoted in _list_texts(values, allowed):
            if fault := find_fault(text, in_text, unquoted):
                return setting, fault
        return None

    return CodeRule(
        sentence=f"The placeholders are {listed}, and the names in `values`; in quotes a placeholder needs a style."
        if known
        else "The placeholders are the names in `values`; in quotes they need a style.",
        find_fault=find,
        schema={"if": {"not": {"required": ["values"]}}, "then": {"properties": _text_schemas(known)}},
    )


def _list_texts(
    values: NamedValues, names: frozenset[str]
) -> Iterator[tuple[str, str, frozenset[str], frozenset[str]]]:
    """Yield each text with its setting, the placeholders that it may hold, and those of them that end no quote."""
    nothing = frozenset[str]()
    # Ids without a quote, which is the rule, end none: `TargetSettings` looks again if they may.
    yield "path", values["path"], names, names - SEARCHED
    for text in values["headers"].values():
        yield "headers", text, names, nothing
    for text in values["body"].texts() if values["body"] is not None else ():
        yield "body", text, names, nothing
    for name in values["query"]:
        yield "query", name, names & {"field"}, nothing
    for text in list_values(values["query"]):
        yield "query", text, names, nothing


def _text_schemas(names: frozenset[str]) -> JsonSchema:
    """Return the JSON Schemas of settings without a placeholder of another name."""
    text = {"not": {"type": "string", "pattern": other_placeholders(names)}}
    return {
        "path": text,
        "headers": {"additionalProperties": text},
        "query": {
            "propertyNames": {"not": {"pattern": other_placeholders(names & {"field"})}},
            "additionalProperties": {**text, "items": text},
        },
    }
