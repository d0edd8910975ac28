"""Kind of a setting that is a JMESPath expression. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar

from jmespath.exceptions import JMESPathError, ParseError

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.expressions.expression_analysis import require_known_roots
from config_schema.expressions.expression_functions import KNOWN_FUNCTIONS, LINKED
from config_schema.expressions.jmespath_paths import (
    MAX_DEPTH,
    MAX_LENGTH,
    Evaluator,
    ExpressionRefused,
    compile_expression,
)
from config_schema.kinds import JsonSchema, ValueKind

Value = TypeVar("Value")

_SPACE = r"[ \t\n\r]*"
_QUOTED = "|".join(rf"{quote}(?:[^{quote}\\]|\\[\s\S])*{quote}" for quote in "\"'`")
_FALSE_START = rf"{_SPACE}(?:[\])}},:|=<>.?]|$)"
_FALSE_END = rf".*[.(\[{{,:|&!=<>-]{_SPACE}$"
# A bracket that closes before any of its kind was opened.
_FALSE_BRACKETS = "|".join(
    rf"(?:[^\"'`\{opening}\{closing}]|{_QUOTED})*\{closing}" for opening, closing in ("()", "[]", "{}")
)
_CALL = rf"(?:{'|'.join(sorted(KNOWN_FUNCTIONS | {LINKED}))}){_SPACE}\("
_NAME = rf"[A-Za-z_][A-Za-z0-9_]*(?![A-Za-z0-9_]|{_SPACE}\()"
_SIGN = r"[0-9.*@,:(){}|&!=<>?\[\] \t\n\r-]"
# What JSON Schema can tell of an expression: its signs, known functions, closed quotes, and how none begins or ends.
PATTERN = rf"^(?!{_FALSE_START})(?!{_FALSE_END})(?!{_FALSE_BRACKETS})(?:{_CALL}|{_NAME}|{_SIGN}|{_QUOTED})+$"


@dataclass(frozen=True)
class ExpressionKind(ValueKind[Value]):
    """Base of kinds of a JMESPath expression, which differ in what reading one returns.

    It reads only fields of its document that are in `roots`; any if they are empty.
    """

    roots: frozenset[str] = frozenset()
    label: str = "JMESPath expression"
    limits: str = f"at most {MAX_LENGTH:,} characters, nested at most {MAX_DEPTH} deep"

    def to_schema(self) -> JsonSchema:
        schema = {"type": "string", "maxLength": MAX_LENGTH, "pattern": PATTERN, "format": "jmespath"}
        return {**schema, "not": {"pattern": pattern_of_other_root(self.roots)}} if self.roots else schema


def pattern_of_other_root(known: Collection[str]) -> str:
    """Return the pattern of expressions that begin with a field other than these: what JSON Schema can tell of them."""
    names = "|".join(sorted(known))
    return rf"^{_SPACE}(?!(?:{names})(?![A-Za-z0-9_])){_NAME}"


def read_expression(value: Any, place: SettingPath, roots: frozenset[str] = frozenset()) -> Evaluator:
    """Compile the expression at a place in the settings. Raises SettingsInvalid, also if its document has `roots` and
    it reads another field.
    """
    if not isinstance(value, str) or not value.strip():
        raise SettingsInvalid(place, "This must be a JMESPath expression.")
    try:
        evaluator = compile_expression(value)
        if roots:
            require_known_roots(value, roots)
        return evaluator
    except ExpressionRefused as refused:
        raise SettingsInvalid(place, f"This JMESPath expression {refused}") from None
    except ParseError as error:
        sentence = f"This must be a JMESPath expression. It cannot be read from character {error.lex_position + 1} on."
        raise SettingsInvalid(place, sentence) from None
    except JMESPathError:
        raise SettingsInvalid(place, "This must be a JMESPath expression.") from None


@dataclass(frozen=True, slots=True)
class CompiledExpression:
    """An expression as it was written, and the function that evaluates it. That raises OverBudget, and JMESPathError if
    the document does not fit the expression.
    """

    text: str
    evaluate: Evaluator = field(compare=False, repr=False)


@dataclass(frozen=True)
class CompiledExpressionKind(ExpressionKind[CompiledExpression]):
    """Kind of a JMESPath expression that is kept with its text."""

    def read(self, value: Any, place: SettingPath) -> CompiledExpression:
        return CompiledExpression(value, read_expression(value, place, self.roots))

    def to_json(self, value: Any) -> Any:
        return value.text
