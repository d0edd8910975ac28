"""What must be filled in before the settings of a preset fit an installation: the realm, the tenant. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from config_schema.declared import Declared, setting
from config_schema.kinds import AnyText, Text
from config_schema.rules import CodeRule, Fault, NamedValues

MAX_QUESTIONS = 5


def _find_unanswerable(values: NamedValues) -> Fault | None:
    """Return the fault of a question that nobody is asked and that no base URL answers, or of a wrong expression."""
    if bool(values["label"]) == bool(values["in_base_url"]):
        return ((), "This needs either `label` or `in_base_url`.")
    try:
        is_valid = not values["in_base_url"] or re.compile(values["in_base_url"]).groups == 1
    except re.error:
        is_valid = False
    if not is_valid:
        return (
            ("in_base_url",),
            "This must be a regular expression with one group.",
        )
    return None


class PresetQuestion(Declared):
    """A text in the authentication or the settings of a preset that stands for a value of the installation."""

    placeholder: str = setting(
        Text(), "The text that stands for the value, wherever it occurs.", example="REALM"
    )
    label: str = setting(
        AnyText(),
        "The name of the value, for the person who is asked for it.",
        default="",
        example="Name of the realm",
    )
    in_base_url: str = setting(
        AnyText(),
        "A regular expression whose group finds the value in the base URL: then nobody is asked.",
        default="",
        example="/realms/([^/]+)",
    )
    insert: str = setting(Text(), "What is inserted; `{}` is the value.", default="{}", example="auth.{}")

    rules = (
        CodeRule(
            sentence="Exactly one of `label` and `in_base_url` is set.",
            find_fault=_find_unanswerable,
        ),
    )

    def find_value(self, base_url: str, answers: Mapping[str, str]) -> str | None:
        """Return what is inserted for the placeholder; None if the base URL, or the person, does not say it."""
        if self.in_base_url:
            found = re.search(self.in_base_url, base_url)
            value = found[1] if found else ""
        else:
            value = answers.get(self.placeholder, "").strip()
        return self.insert.replace("{}", value) if value else None


def fill_in(
    document: Any, questions: Sequence[PresetQuestion], base_url: str, answers: Mapping[str, str]
) -> Any:
    """Return a JSON document with the values of all questions in place of their placeholders. Questions without a
    value leave theirs. `answers`: by placeholder.
    """
    values = [(question.placeholder, question.find_value(base_url, answers)) for question in questions]

    def replaced(value: Any) -> Any:
        if isinstance(value, str):
            for placeholder, found in values:
                if found is not None:
                    value = value.replace(placeholder, found)
            return value
        if isinstance(value, Mapping):
            return {name: replaced(member) for name, member in value.items()}
        return [replaced(member) for member in value] if isinstance(value, list | tuple) else value

    return replaced(document)
