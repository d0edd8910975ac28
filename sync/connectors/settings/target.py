"""Settings of a target with a REST API. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync.connectors.http.urls import find_placeholders
from sync.connectors.settings.record_version import VersionSettings, parse_version_settings
from sync.connectors.settings.settings_reader import (
    ConnectionOptions,
    ReadRequest,
    SettingsReader,
    parse_connection_options,
)
from sync.connectors.values.json_responses import ErrorExtractor, JmesPathExpression

_SEARCH_PLACEHOLDERS = frozenset({"field", "value", "quoted"})


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """Settings of a search for records.

    Names and values of `query` may hold `{field}`, `{value}` and `{quoted}`, which is the value quoted for a
    filter language. `results_expression` selects the list of records in a response.
    """

    path: str
    query: Mapping[str, str]
    results_expression: JmesPathExpression
    fields: frozenset[str]


@dataclass(frozen=True, slots=True)
class RecordListSettings:
    """Settings of a request for some records. `results_expression` selects the list of records in a response."""

    request: ReadRequest
    results_expression: JmesPathExpression


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """Settings of the records of one entity type. `omitted_fields`: fields that a replacing update must not
    send. `probe`: a request that succeeds as long as the credentials are good. `version`: how updates and deletions
    are made conditional; None if they are not.
    """

    collection_path: str
    item_path: str
    id_expression: JmesPathExpression
    record_expression: JmesPathExpression
    wrapper_field: str | None
    search: SearchSettings | None
    list_settings: RecordListSettings | None
    probe: ReadRequest | None
    create_method: str
    update_method: str
    delete_method: str
    omitted_fields: frozenset[str]
    version: VersionSettings | None


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """Settings of a target. `entities` is keyed by upper-case entity type; `caseless_fields` are compared
    case-folded.
    """

    entities: Mapping[str, CollectionSettings]
    caseless_fields: frozenset[str]
    options: ConnectionOptions
    error_extractor: ErrorExtractor
    idempotency_header: str | None


def parse_target_settings(data: Any) -> TargetSettings:
    """Parse the settings of a target. Raises SettingsInvalid."""
    members = SettingsReader(data)
    settings = TargetSettings(
        entities=members.read_per_entity_type("entities", _parse_collection),
        caseless_fields=frozenset(members.read_texts("caseless")),
        options=parse_connection_options(members),
        error_extractor=_parse_error_extractor(members.read_object("error")),
        idempotency_header=members.read_optional_header_name("idempotency_header"),
    )
    members.reject_unknown_fields()
    return settings


def _parse_collection(members: SettingsReader) -> CollectionSettings:
    update = members.read_object("update")
    search = members.read_optional_object("search")
    listing = members.read_optional_object("list")
    version = members.read_optional_object("version")
    collection = CollectionSettings(
        collection_path=members.read_path("collection"),
        item_path=members.read_path("item", required_placeholders=frozenset({"id"})),
        id_expression=members.read_expression("id", "id"),
        record_expression=members.read_expression("record", "@"),
        wrapper_field=members.read_optional_text("wrap"),
        search=_parse_search(search) if search else None,
        list_settings=_parse_list_settings(listing) if listing else None,
        probe=members.read_optional_read_request("probe"),
        create_method=_parse_method(members.read_object("create"), ("POST", "PUT")),
        update_method=update.read_choice("method", ("PATCH", "PUT", "POST"), "PATCH"),
        delete_method=_parse_method(members.read_object("delete"), ("DELETE", "POST")),
        omitted_fields=frozenset(update.read_texts("omit")),
        version=parse_version_settings(version) if version else None,
    )
    update.reject_unknown_fields()
    members.reject_unknown_fields()
    return collection


def _parse_search(members: SettingsReader) -> SearchSettings:
    search = SearchSettings(
        path=members.read_path("path"),
        query=members.read_text_map("query"),
        results_expression=members.read_expression("results", "@"),
        fields=frozenset(members.read_texts("fields")),
    )
    for text in (*search.query, *search.query.values()):
        if not find_placeholders(text) <= _SEARCH_PLACEHOLDERS:
            members.reject_field(
                "query", "Only the placeholders {field}, {value} and {quoted} are allowed here."
            )
        if '"{value}"' in text:
            members.reject_field("query", "Use {quoted} for a value in double quotes, so that it is escaped.")
    if not any(find_placeholders(text) & {"value", "quoted"} for text in search.query.values()):
        members.reject_field("query", "One of these must contain {value} or {quoted}.")
    members.reject_unknown_fields()
    return search


def _parse_list_settings(members: SettingsReader) -> RecordListSettings:
    listing = RecordListSettings(
        ReadRequest(members.read_path("path"), members.read_text_map("query")),
        members.read_expression("results", "@"),
    )
    members.reject_unknown_fields()
    return listing


def _parse_method(members: SettingsReader, methods: tuple[str, ...]) -> str:
    method = members.read_choice("method", methods, methods[0])
    members.reject_unknown_fields()
    return method


def _parse_error_extractor(members: SettingsReader) -> ErrorExtractor:
    names = ("sentence", "fields", "when")
    words = ErrorExtractor(*(members.read_optional_expression(name) for name in names))
    members.reject_unknown_fields()
    return words
