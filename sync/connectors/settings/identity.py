"""The settings of a REST identity service, read from data. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync.connectors.settings.reader import Members, Reach, parse_reach
from sync.connectors.values.json_answers import ErrorWords, Expression

LARGEST_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Listing:
    """How an entity type is listed by pages. The query member named `start` says how many entities come
    before the page, plus `first`; the one named `count` how many are wanted, which is `size`. `results` finds
    the list of entities in an answer and `total` how many there are on all pages together."""

    path: str
    query: Mapping[str, str]
    start: str
    first: int
    count: str
    size: int
    results: Expression
    total: Expression | None


@dataclass(frozen=True, slots=True)
class EntityPath:
    """Where an entity type is read, and where in the answer its parts stand. `modified` finds when the entity was
    changed last: an RFC 3339 text, or seconds or milliseconds since 1970."""

    path: str
    query: Mapping[str, str]
    record: Expression
    id: Expression
    version: Expression | None
    modified: Expression | None
    listing: Listing | None


@dataclass(frozen=True, slots=True)
class Settings:
    """`entities` is keyed by upper-case entity type."""

    entities: Mapping[str, EntityPath]
    reach: Reach
    words: ErrorWords


def parse_settings(data: Any) -> Settings:
    """Read the settings; raises SettingsInvalid."""
    members = Members(data)
    entities = members.per_entity_type("entities", _parse_entity)
    reach = parse_reach(members)
    words = _parse_words(members.object("error"))
    members.done()
    return Settings(entities, reach, words)


def _parse_entity(members: Members) -> EntityPath:
    listing = members.optional_object("list")
    entity = EntityPath(
        path=members.path("path", holds=frozenset({"id"})),
        query=members.text_map("query"),
        record=members.expression("record", "@"),
        id=members.expression("id", "id"),
        version=members.optional_expression("version"),
        modified=members.optional_expression("modified"),
        listing=_parse_listing(listing) if listing else None,
    )
    members.done()
    return entity


def _parse_listing(members: Members) -> Listing:
    listing = Listing(
        path=members.path("path"),
        query=members.text_map("query"),
        start=members.text("start", "startIndex"),
        first=members.whole_number("first", 0, 0, 1),
        count=members.text("count", "count"),
        size=members.whole_number("size", 100, 1, LARGEST_PAGE),
        results=members.expression("results", "@"),
        total=members.optional_expression("total"),
    )
    members.done()
    return listing


def _parse_words(members: Members) -> ErrorWords:
    words = ErrorWords(members.optional_expression("sentence"), when=members.optional_expression("when"))
    members.done()
    return words
