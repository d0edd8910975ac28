"""Settings of a REST identity service. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync.connectors.settings.settings_reader import (
    ConnectionOptions,
    ReadRequest,
    SettingsReader,
    parse_connection_options,
)
from sync.connectors.values.json_responses import ErrorExtractor, JmesPathExpression

MAX_PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class ListSettings:
    """Settings of the paged list of an entity type.

    The query parameter `offset_parameter` holds the number of entities before the page plus `first_offset`;
    `count_parameter` holds the number wanted, `page_size`. `results_expression` selects the list of entities
    in a response, `total_expression` the number of entities on all pages together.
    """

    path: str
    query: Mapping[str, str]
    offset_parameter: str
    first_offset: int
    count_parameter: str
    page_size: int
    results_expression: JmesPathExpression
    total_expression: JmesPathExpression | None


@dataclass(frozen=True, slots=True)
class EntitySettings:
    """Settings for reading an entity of one type: its path, and expressions over the response.

    `modified_expression` selects the time of the entity's last change: an RFC 3339 text, or seconds or
    milliseconds since 1970. `probe`: a request that succeeds as long as the credentials are good.
    """

    path: str
    query: Mapping[str, str]
    record_expression: JmesPathExpression
    id_expression: JmesPathExpression
    version_expression: JmesPathExpression | None
    modified_expression: JmesPathExpression | None
    list_settings: ListSettings | None
    probe: ReadRequest | None


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """`entities` is keyed by upper-case entity type."""

    entities: Mapping[str, EntitySettings]
    options: ConnectionOptions
    error_extractor: ErrorExtractor


def parse_identity_settings(data: Any) -> IdentitySettings:
    """Parse the settings of an identity service. Raises SettingsInvalid."""
    members = SettingsReader(data)
    entities = members.read_per_entity_type("entities", _parse_entity)
    reach = parse_connection_options(members)
    words = _parse_error_extractor(members.read_object("error"))
    members.reject_unknown_fields()
    return IdentitySettings(entities, reach, words)


def _parse_entity(members: SettingsReader) -> EntitySettings:
    listing = members.read_optional_object("list")
    entity = EntitySettings(
        path=members.read_path("path", required_placeholders=frozenset({"id"})),
        query=members.read_text_map("query"),
        record_expression=members.read_expression("record", "@"),
        id_expression=members.read_expression("id", "id"),
        version_expression=members.read_optional_expression("version"),
        modified_expression=members.read_optional_expression("modified"),
        list_settings=_parse_list_settings(listing) if listing else None,
        probe=members.read_optional_read_request("probe"),
    )
    members.reject_unknown_fields()
    return entity


def _parse_list_settings(members: SettingsReader) -> ListSettings:
    listing = ListSettings(
        path=members.read_path("path"),
        query=members.read_text_map("query"),
        offset_parameter=members.read_text("start", "startIndex"),
        first_offset=members.read_whole_number("first", 0, 0, 1),
        count_parameter=members.read_text("count", "count"),
        page_size=members.read_whole_number("size", 100, 1, MAX_PAGE_SIZE),
        results_expression=members.read_expression("results", "@"),
        total_expression=members.read_optional_expression("total"),
    )
    members.reject_unknown_fields()
    return listing


def _parse_error_extractor(members: SettingsReader) -> ErrorExtractor:
    words = ErrorExtractor(
        members.read_optional_expression("sentence"), when=members.read_optional_expression("when")
    )
    members.reject_unknown_fields()
    return words
