"""The values by which a person is found: what the searchable fields of a mapping give, in one spelling. Pure.

They come from the entity and not from the mapped record: a person whose record cannot be made, because a required
field is empty, has to be found too.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from config_schema.expressions.expression_budget import ExpressionBudget, OverBudget
from sync.planning.mapping import EXPRESSION_ERRORS, MAX_MAPPING_BYTES, MAX_MAPPING_STEPS
from sync.planning.mapping_rules import FieldRule

MAX_VALUES = 12
"""The most values of one entity: whole values come before the parts of names."""

MAX_VALUE_LENGTH = 400
_PHONE_NUMBER = re.compile(r"\+?[\d\s().\-/]+")
_PHONE_DIGITS = range(7, 16)
# The digits that the spellings of a number share: 040 123 4567 and +358 40 123 4567.
_COMPARED_DIGITS = 9
_WORD_BREAKS = re.compile(r"[\s,\-]+")
_LEAST_PART = 2
_MARKS_NO_NAME = re.compile(r"[@\d]")


def normalize_value(text: str) -> str:
    """Return the spelling in which a value is compared: without case and needless spaces, a phone number as its last
    nine digits, a name as its words in alphabetical order. Empty for a text without content.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    digits = re.sub(r"\D", "", folded)
    if _PHONE_NUMBER.fullmatch(folded.strip()) and len(digits) in _PHONE_DIGITS:
        return f"phone:{digits[-_COMPARED_DIGITS:]}"
    words = split_name(folded)
    return " ".join(sorted(words)) if len(words) > 1 else " ".join(folded.split())


def split_name(text: str) -> list[str]:
    """Return the words of a name; an empty list for a text that cannot be one, such as an e-mail address."""
    if _MARKS_NO_NAME.search(text):
        return []
    return [word for word in _WORD_BREAKS.split(text.strip()) if word]


def list_search_values(
    rules: Iterable[FieldRule], entity: Mapping[str, Any], *, is_partial: bool = False
) -> tuple[str, ...] | None:
    """Return the values by which an entity is found, normalized, at most `MAX_VALUES`: the values of the fields, the
    words of names, and all these words together, for a name that is split over several fields.

    Returns None for a part of an entity that lacks what one of the rules reads: the others say nothing about it.
    """
    fields = list(rules)
    if is_partial and not all(rule.has_input_in(entity) for rule in fields):
        return None
    texts = [text for rule in fields for text in _texts_of(_compute(rule, entity))]
    words = [word for text in texts for word in split_name(text)]
    parts = [word for word in words if len(word) >= _LEAST_PART]
    values = map(normalize_value, [*texts, " ".join(dict.fromkeys(words)), *parts])
    return tuple(dict.fromkeys(value for value in values if value))[:MAX_VALUES]


def _compute(rule: FieldRule, entity: Mapping[str, Any]) -> Any:
    """Return the value of a field; None if its expression does not fit the entity."""
    budget = ExpressionBudget(MAX_MAPPING_STEPS, MAX_MAPPING_BYTES)
    try:
        return rule.compute_value({"entity": entity, "webhook": {}}, budget)
    except (OverBudget, *EXPRESSION_ERRORS):
        return None


def _texts_of(value: Any) -> Iterator[str]:
    """Yield the texts and whole numbers of a value, or of a list of values."""
    if isinstance(value, list):
        for item in value:
            yield from _texts_of(item)
    elif isinstance(value, str | int) and not isinstance(value, bool):
        yield str(value)[:MAX_VALUE_LENGTH]
