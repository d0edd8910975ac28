"""The settings of a REST commercial system, read from data. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync.connectors.http.urls import placeholders
from sync.connectors.settings.reader import Members, Reach, parse_reach
from sync.connectors.values.json_answers import ErrorWords, Expression

_SEARCHED = frozenset({"field", "value", "quoted"})


@dataclass(frozen=True, slots=True)
class Search:
    """How records are searched. The names and values of `query` may hold `{field}`, `{value}` and `{quoted}`,
    which is the value as a string in a filter language. `results` finds the list of records in an answer."""

    path: str
    query: Mapping[str, str]
    results: Expression
    fields: frozenset[str]


@dataclass(frozen=True, slots=True)
class Collection:
    """How the records of one entity type are reached. `omit`: what a replacing update must not send."""

    collection: str
    item: str
    id: Expression
    record: Expression
    wrap: str | None
    search: Search | None
    create_method: str
    update_method: str
    delete_method: str
    omit: frozenset[str]


@dataclass(frozen=True, slots=True)
class Settings:
    """`entities` is keyed by upper-case entity type; `caseless` fields are compared case-folded."""

    entities: Mapping[str, Collection]
    caseless: frozenset[str]
    reach: Reach
    words: ErrorWords
    idempotency_header: str | None


def parse_settings(data: Any) -> Settings:
    """Read the settings; raises SettingsInvalid."""
    members = Members(data)
    settings = Settings(
        entities=members.per_entity_type("entities", _parse_collection),
        caseless=frozenset(members.texts("caseless")),
        reach=parse_reach(members),
        words=_parse_words(members.object("error")),
        idempotency_header=members.optional_header_name("idempotency_header"),
    )
    members.done()
    return settings


def _parse_collection(members: Members) -> Collection:
    update = members.object("update")
    search = members.optional_object("search")
    collection = Collection(
        collection=members.path("collection"),
        item=members.path("item", holds=frozenset({"id"})),
        id=members.expression("id", "id"),
        record=members.expression("record", "@"),
        wrap=members.optional_text("wrap"),
        search=_parse_search(search) if search else None,
        create_method=_parse_method(members.object("create"), ("POST", "PUT")),
        update_method=update.choice("method", ("PATCH", "PUT", "POST"), "PATCH"),
        delete_method=_parse_method(members.object("delete"), ("DELETE", "POST")),
        omit=frozenset(update.texts("omit")),
    )
    update.done()
    members.done()
    return collection


def _parse_search(members: Members) -> Search:
    search = Search(
        path=members.path("path"),
        query=members.text_map("query"),
        results=members.expression("results", "@"),
        fields=frozenset(members.texts("fields")),
    )
    for text in (*search.query, *search.query.values()):
        if not placeholders(text) <= _SEARCHED:
            members.refuse("query", "The placeholders here are {field}, {value} and {quoted}.")
        if '"{value}"' in text:
            members.refuse("query", "Write {quoted} for a value in double quotes, so that it is escaped.")
    if not any(placeholders(text) & {"value", "quoted"} for text in search.query.values()):
        members.refuse("query", "One of these must hold {value} or {quoted}.")
    members.done()
    return search


def _parse_method(members: Members, methods: tuple[str, ...]) -> str:
    method = members.choice("method", methods, methods[0])
    members.done()
    return method


def _parse_words(members: Members) -> ErrorWords:
    names = ("sentence", "fields", "when")
    words = ErrorWords(*(members.optional_expression(name) for name in names))
    members.done()
    return words
