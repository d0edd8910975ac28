"""The kinds of controls, and which of them edits the values of a kind. Pure."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from config_schema.expressions.expression_kind import CompiledExpressionKind, ExpressionKind
from config_schema.kinds import (
    AnyText,
    AnyTextList,
    AnyValue,
    Boolean,
    Choice,
    Duration,
    Text,
    TextList,
    TextMap,
    ValueKind,
    WholeNumber,
)
from config_schema.objects import ListOf, MapOf, Object, VariantObject
from connectors.settings.answer_rules import SaidSentence, Statuses
from connectors.settings.body_template import Body
from connectors.settings.identity import EntityPath
from connectors.settings.list_items import PlainValue
from connectors.settings.operations.templates import OperationPath
from connectors.settings.record_version import FieldNames
from connectors.settings.setting_kinds import (
    BaseAddress,
    Certificates,
    HeaderName,
    Headers,
    Networks,
    PathTemplate,
    PlainPath,
    QueryParameters,
)
from connectors.settings.signed_token import Template
from connectors.settings.target import IdCharacters
from sync.planning.mapping_rules import FunctionList
from webhooks.protocol.formats.webhook_format import ExpressionOrConstantKind
from webhooks.protocol.tokens.jwt_rule import KeySetUrl


class Family(StrEnum):
    """How a value is edited. The last three are structures, whose parts have controls of their own."""

    TEXT = "text"
    LONG_TEXT = "long-text"
    EXPRESSION = "expression"
    CONSTANT = "constant"
    NUMBER = "number"
    SWITCH = "switch"
    CHOICE = "choice"
    STATUSES = "statuses"
    PLAIN = "plain"
    LINES = "lines"
    ROWS = "rows"
    JSON = "json"
    GROUP = "group"
    LIST = "list"
    MAP = "map"


_TEXTS = (
    Text,
    AnyText,
    PathTemplate,
    PlainPath,
    BaseAddress,
    HeaderName,
    EntityPath,
    OperationPath,
    FieldNames,
    KeySetUrl,
    Template,
    IdCharacters,
)
# The first class that a kind belongs to decides.
_FAMILIES: tuple[tuple[tuple[type[ValueKind[Any]], ...], Family], ...] = (
    ((Certificates,), Family.LONG_TEXT),
    (_TEXTS, Family.TEXT),
    ((ExpressionKind,), Family.EXPRESSION),
    ((ExpressionOrConstantKind,), Family.CONSTANT),
    ((WholeNumber, Duration), Family.NUMBER),
    ((Boolean,), Family.SWITCH),
    ((Choice,), Family.CHOICE),
    ((Statuses,), Family.STATUSES),
    ((PlainValue, SaidSentence), Family.PLAIN),
    ((TextList, AnyTextList, Networks, FunctionList), Family.LINES),
    ((TextMap, Headers, QueryParameters, Body), Family.ROWS),
    ((AnyValue,), Family.JSON),
    ((Object, VariantObject), Family.GROUP),
)
# Values that fit on one line, so that they can be one of several.
_ON_ONE_LINE = frozenset(
    {Family.TEXT, Family.EXPRESSION, Family.NUMBER, Family.CHOICE, Family.STATUSES, Family.PLAIN, Family.JSON}
)


class UnknownKind(TypeError):
    """No control edits the values of a kind."""


def family_of(kind: ValueKind[Any]) -> Family:
    """Return how the values of a kind are edited. Raises UnknownKind."""
    if isinstance(kind, MapOf):
        return Family.ROWS if family_of(kind.values) in _ON_ONE_LINE else Family.MAP
    if isinstance(kind, ListOf):
        is_on_one_line = family_of(kind.items) in _ON_ONE_LINE and not _may_have_lines(kind.items)
        return Family.LINES if is_on_one_line else Family.LIST
    for classes, family in _FAMILIES:
        if isinstance(kind, classes):
            return Family.LONG_TEXT if family is Family.TEXT and _may_have_lines(kind) else family
    raise UnknownKind(type(kind).__name__)


def item_kind(kind: ValueKind[Any]) -> ValueKind[Any]:
    """Return the kind of one value of a list, of a map or of rows."""
    if isinstance(kind, MapOf):
        return kind.values
    if isinstance(kind, ListOf):
        return kind.items
    if isinstance(kind, Body):
        return CompiledExpressionKind()
    return Choice(kind.choices) if kind.choices else AnyText()


def inner_kinds(kind: ValueKind[Any]) -> Iterator[ValueKind[Any]]:
    """Yield a kind and all kinds inside it."""
    yield kind
    if isinstance(kind, Object):
        settings = kind.settings
    elif isinstance(kind, VariantObject):
        settings = tuple(one for name in kind.variants for one in kind.settings_of(name))
    else:
        settings = ()
    for setting in settings:
        yield from inner_kinds(setting.kind)
    if isinstance(kind, MapOf | ListOf):
        yield from inner_kinds(item_kind(kind))


def _may_have_lines(kind: ValueKind[Any]) -> bool:
    """Return True if texts of a kind are keys in PEM, which have several lines."""
    return isinstance(kind, Text) and kind.pattern is not None and "-----BEGIN" in kind.pattern.pattern
