"""Writes before they become requests: what an update sends by its style, and the version that it names. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.contracts.types import RecordVersion
from connectors.record_versions import merge_at_path
from connectors.records.list_items import WrittenFields
from connectors.settings.operations.write_operations import (
    OBJECT_STYLES,
    UpdateOperation,
    WriteOperation,
)
from connectors.settings.record_version import VersionSettings
from connectors.values.answer_meaning import AnswerRule
from connectors.values.request_bodies import json_patch, merge_patch, scim_patch

_CONTENT_TYPES: Mapping[str, str] = {
    "merge-patch": "application/merge-patch+json",
    "json-patch": "application/json-patch+json",
    "scim-patch": "application/scim+json",
}


@dataclass(frozen=True, slots=True)
class PlannedWrite:
    """A write that is not rendered yet. `sent`: what the style makes of the fields, None if the body alone says it.
    `headers` and `query` come on top of those of the operation.
    """

    operation: WriteOperation
    sent: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    stale_rules: tuple[AnswerRule, ...] = ()


def plan_update(
    operation: UpdateOperation, changed: WrittenFields, current: Mapping[str, Any], raw: Mapping[str, Any]
) -> PlannedWrite:
    """Return the write of an update. `current`: the fields as they were compared; `raw`: the record as the target
    gives it.
    """
    style = operation.style
    sent: Any = changed.sent
    if style == "replace":
        kept = {name: value for name, value in raw.items() if name not in operation.omit}
        sent = kept | sent
    elif style == "merge-patch":
        sent = merge_patch(current, sent)
    elif style == "json-patch":
        sent = json_patch(current, sent)
    elif style == "scim-patch":
        sent = scim_patch(changed.others, changed.scim_operations)
    content_type = _CONTENT_TYPES.get(style)
    return PlannedWrite(operation, sent, {"Content-Type": content_type} if content_type else {})


def make_conditional(write: PlannedWrite, settings: VersionSettings, version: RecordVersion) -> PlannedWrite:
    """Return a write that names the version which it changes. A weak entity tag is sent as it was received.

    `settings` say how a request with this method sends it: see `can_send_version`.
    """
    write = replace(write, stale_rules=settings.stale)
    if settings.send.header is not None:
        return replace(write, headers={**write.headers, settings.send.header: str(version)})
    if write.operation.method == "DELETE":
        assert settings.send.query is not None, "refused by `can_send_version`"
        return replace(write, query={**write.query, settings.send.query: str(version)})
    assert settings.send.field is not None, "the settings name a header or a field"
    # In other styles the body names the version itself.
    if write.operation.style not in OBJECT_STYLES:
        return write
    return replace(write, sent=merge_at_path(write.sent or {}, settings.send.field, version))


def can_send_version(settings: VersionSettings, method: str) -> bool:
    """Return True if the settings say how a request with this method sends a version. A DELETE has no body."""
    return method != "DELETE" or settings.send.header is not None or settings.send.query is not None
