"""Settings of a target with a REST API. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.declared import nullable, setting
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.expressions.jmespath_paths import fields_built
from config_schema.kinds import Boolean, JsonSchema, TextList, ValueKind
from config_schema.objects import MapOf
from config_schema.rules import CodeRule, Fault, Fits, Given, NamedValues, Not, Requires
from connectors.settings.answer_rules import rule_list
from connectors.settings.list_items import MAX_LIST_ITEMS, ListItem, ListItems
from connectors.settings.operations.operation import has_bare_quoted_id
from connectors.settings.operations.record_operations import EXAMPLE, Operations
from connectors.settings.operations.write_operations import OBJECT_STYLES, WriteOperation
from connectors.settings.record_version import VersionSettings
from connectors.settings.setting_kinds import (
    ENTITY_TYPE,
    ENTITY_TYPE_SENTENCE,
    Expression,
    HeaderName,
)
from connectors.settings.shared_settings import ConnectionOptions, ProbeSettings, TargetErrorSettings
from connectors.values.answer_meaning import STATED_MEANINGS, AnswerRule
from connectors.values.json_responses import JmesPathExpression

_MAX_CHARACTERS = 100
# What no id may hold, however it is escaped: it would end a path, or is an escape already.
_REFUSED_CHARACTERS = frozenset("%?#")


@dataclass(frozen=True)
class IdCharacters(ValueKind[frozenset[str]]):
    """Characters that ids may hold."""

    label: str = "text"
    limits: str = f"at most {_MAX_CHARACTERS} printable characters; none of `%`, `?`, `#`"

    def read(self, value: Any, place: SettingPath) -> frozenset[str]:
        if not isinstance(value, str):
            raise SettingsInvalid(place, "This must be a text.")
        if len(value) > _MAX_CHARACTERS or not value.isprintable() or _REFUSED_CHARACTERS & set(value):
            sentence = f"This must be at most {_MAX_CHARACTERS} printable characters; none of %, ?, #."
            raise SettingsInvalid(place, sentence)
        return frozenset(value)

    def to_json(self, value: frozenset[str]) -> str:
        return "".join(sorted(value))

    def to_schema(self) -> JsonSchema:
        return {"type": "string", "maxLength": _MAX_CHARACTERS, "pattern": r"^[^%?#\x00-\x1f\x7f]*$"}


def _can_send_field(operation: WriteOperation) -> bool:
    """Return True if the version, as one of the fields, reaches the target with this operation."""
    if operation.uses("version"):
        return True
    if operation.body is None:
        # A DELETE names it in the query: `record_versions.can_send_version`.
        return operation.encoding != "none" and operation.style in OBJECT_STYLES
    return operation.uses("sent") and operation.style in OBJECT_STYLES


def _find_unsent_version(values: NamedValues) -> Fault | None:
    """Find a write that would not name the version of its record."""
    version, operations = values["version"], values["operations"]
    if version is None or version.send.field is None:
        return None
    for operation in (operations.updates[0], operations.delete):
        if operation is not None and not _can_send_field(operation):
            return (
                "operations",
                "With “version.send.field”, the body of an update or deletion must contain `sent` or `version`.",
            )
    return None


def _find_list_name(values: NamedValues) -> Fault | None:
    """Find a field of an item that has the name of a list, whose place in the record it would take."""
    list_items = values["list_items"]
    for name in list_items:
        if any(name == item.path[0] for item in list_items.values()):
            return ("list_items", name), "This field must have another name than the list."
    return None


def _find_missing_list(values: NamedValues) -> Fault | None:
    """Find a list that records lack as the settings read them: its items would seem to be missing."""
    built = fields_built(values["operations"].get.result.text)
    for name, item in values["list_items"].items():
        if built is not None and item.path[0] not in built:
            return ("list_items", name, "list"), "The `result` of `operations.get` lacks this list."
    return None


def _find_shorter_list(values: NamedValues) -> Fault | None:
    """Find a complete list whose items lack fields that `get` reads, although they are said to be whole."""
    listing = values["operations"].list
    if listing is None or not (listing.is_complete and listing.has_whole_items):
        return None
    record = values["operations"].get.result
    listed, read = fields_built(listing.result.text), fields_built(record.text)
    is_known = read is not None or record.is_plain or record.is_current_node
    if listed is None or not is_known or (read is not None and read <= listed):
        return None
    sentence = "The list has fewer fields than `get`: it needs all of them, or “whole_items” false."
    return ("operations", "list", "result"), sentence


_HAS_WHEN = {"required": ["when"], "properties": {"when": {"type": "string"}}}
_FIRST_HAS_WHEN = {
    "anyOf": [{"type": "object", **_HAS_WHEN}, {"type": "array", "prefixItems": [_HAS_WHEN], "minItems": 1}]
}

# What was written before there were operations only.
_FORMER_SETTINGS = {
    "collection": "Unknown field. Write this as the `path` of `operations.create`.",
    "item": "Unknown field. Write this as the `path` of `operations.get`, `operations.update` and `operations.delete`.",
    "record": "Unknown field. Write this as `result` of `operations.get`, `operations.create` and `operations.update`.",
    "wrap": (
        "Unknown field. Write this as `body` of `operations.create` and `operations.update`: {“customer”: "
        "{“expression”: “sent”}}."
    ),
    "search": (
        "Unknown field. Write this as `operations.search`, `results` as its `result`, and {quoted} as "
        "{value:quoted}."
    ),
    "list": "Unknown field. Write this as `operations.list`, and `results` as its `result`.",
    "create": "Unknown field. Write this as `operations.create`, with its `path`.",
    "update": "Unknown field. Write this as `operations.update`, with its `path`; PUT needs “style”: “replace”.",
    "delete": "Unknown field. Write this as `operations.delete`, with its `path`.",
}


class RecordSettings(ProbeSettings):
    """Settings of the records of one entity type. Without `version`, updates and deletions are not conditional."""

    id: JmesPathExpression = setting(Expression(), "Where the id is in a record.", default="id", example="id")
    version: VersionSettings | None = nullable(
        VersionSettings.kind,
        "Makes updates and deletions conditional, if the target can refuse a write to an outdated version. Then "
        "no write overwrites a change that the hub has not seen.",
        example={"read": {"header": "ETag"}, "send": {"header": "If-Match"}},
    )
    list_items: ListItems = setting(
        MapOf(ListItem.kind, "FIELD", 0, MAX_LIST_ITEMS, noun="fields"),
        "Fields whose value is in one item of a list of the record, such as the work address among several. A mapping "
        "fills them by these names; they are compared by that value alone. An update reads the record once more and "
        "sends the list with that item changed: all other items stay in their order, and all other attributes of the "
        "item. With the style `scim-patch` it sends an operation for that item alone, such as "
        '`emails[type eq "work"].value`. In `sent` the lists take the place of these fields; a `body` that builds its '
        "request itself uses `lists`.",
        default={},
        example={"email": {"list": "emails", "where": {"type": "work"}}},
    )
    operations: Operations = setting(
        Operations.kind,
        "The requests for records, one for each operation. The hub does not search, delete or list records without the "
        "operation for it.",
        example=EXAMPLE,
    )
    id_may_change: bool = setting(
        Boolean(),
        "True if the response to an update may have a new id, which the record has from then on. Otherwise such "
        "a response is refused.",
        default=False,
        example=True,
    )

    hints = _FORMER_SETTINGS
    rules = (
        Requires(
            sentence="With `version`, the first update has no `when`: it names the version.",
            when=Given("version"),
            then=Not(
                Fits(
                    "operations",
                    {"properties": {"update": _FIRST_HAS_WHEN}, "required": ["update"]},
                    lambda operations: operations.updates[0].when is not None,
                )
            ),
            at="operations",
            error="The first update names the version, so it must not have “when”.",
        ),
        CodeRule(
            sentence="With `version.send.field`, the body of an update or a deletion contains `sent` or `version`.",
            find_fault=_find_unsent_version,
        ),
        CodeRule(
            sentence="A field in `list_items` has another name than the lists.",
            find_fault=_find_list_name,
        ),
        CodeRule(
            sentence="If the `result` of `get` builds a new object, that has the lists of `list_items`.",
            find_fault=_find_missing_list,
        ),
        CodeRule(
            sentence="If the `result` of a `complete` list builds new objects, they have the fields that `get` reads, "
            "or `whole_items` is false.",
            find_fault=_find_shorter_list,
        ),
    )

    @property
    def can_prove_absence(self) -> bool:
        """True if a request shows that records can be read, whatever records are known."""
        return self.operations.list is not None or self.probe is not None


def _find_bare_ids(values: NamedValues) -> Fault | None:
    """Find paths in which an id that contains a quote would end the quotes around it."""
    if not values["id_characters"] & {"'", '"', "\\"}:
        return None
    operations = (known.operations for known in values["entities"].values())
    if not any(has_bare_quoted_id(operation) for known in operations for _, operation in known.items()):
        return None
    return (
        "id_characters",
        "Ids may contain quotes, so an id in quotes in a path needs a style such as {id:odata}.",
    )


class TargetSettings(ConnectionOptions):
    """Settings of a target. `entities` is keyed by upper-case entity type. The rules in `answers` apply to the
    responses of every operation.
    """

    entities: Mapping[str, RecordSettings] = setting(
        MapOf(RecordSettings.kind, "TYPE", 1, None, ENTITY_TYPE, ENTITY_TYPE_SENTENCE, str.upper),
        "How records are read and written, by entity type as in the webhooks. Case does not matter.",
        example={"USER": {"operations": EXAMPLE}},
    )
    caseless_fields: tuple[str, ...] = setting(
        TextList(),
        "Fields of records whose values are compared without case, in every entity type.",
        name="caseless",
        default=[],
        example=["email"],
    )
    idempotency_header: str | None = nullable(
        HeaderName(),
        "The header in which the target accepts an idempotency key. A write that is sent twice then counts once.",
        example="Idempotency-Key",
    )
    id_characters: frozenset[str] = setting(
        IdCharacters(),
        "Characters that ids of records may contain in addition to letters, digits and `._~:@|+=-`, such as a "
        "space, or the slashes of `gid://shop/Customer/1`. They are always escaped into one segment of a path.",
        default="",
        example=" /",
    )
    error_extractor: TargetErrorSettings = setting(
        TargetErrorSettings.kind,
        "What error responses say.",
        name="error",
        default={},
        example={"sentence": "message"},
    )
    answers: tuple[AnswerRule, ...] = nullable(
        rule_list(STATED_MEANINGS),
        "What responses mean: the first rule that matches decides. Without a match, the status decides: 2xx "
        "is success, 404 and 410 mean `absent` for a read or a deletion, 401 and 403 `credentials`, 429 "
        "`throttled`, 408, 425 and 5xx `unavailable`, and any other 4xx `refused`.",
        absent=(),
        example=[{"status": 400, "when": "body.errors[0].code == 'RECORD_NOT_UNIQUE'", "means": "exists"}],
    )

    rules = (
        CodeRule(
            sentence="If ids may contain quotes, an id in quotes in a path has a style such as `{id:odata}`.",
            find_fault=_find_bare_ids,
        ),
    )

    @property
    def options(self) -> ConnectionOptions:
        """Return the settings of the HTTP connection."""
        return self


TARGET_SETTINGS = TargetSettings.kind
