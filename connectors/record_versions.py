"""Read the version of a record, and put it among its fields. Pure."""

from collections.abc import Mapping
from typing import Any

from connectors.contracts.types import RecordVersion
from connectors.settings.record_version import FieldPath, VersionSettings
from connectors.settings.setting_kinds import is_header_value

_MAX_LENGTH = 1000


def read_version(
    settings: VersionSettings, fields: Mapping[str, Any], headers: Mapping[str, str]
) -> RecordVersion | None:
    """Return the version of a record; None if there is none that a write can send. `headers`: those of a response with
    this record alone.
    """
    version = _find_version(settings, fields, headers)
    # A number may have more digits than Python turns into text.
    if isinstance(version, int) and abs(version) >= 10**_MAX_LENGTH:
        return None
    text = "" if version is None else str(version)
    is_sendable = settings.send.header is None or is_header_value(text)
    return version if 0 < len(text) <= _MAX_LENGTH and is_sendable else None


def _find_version(
    settings: VersionSettings, fields: Mapping[str, Any], headers: Mapping[str, str]
) -> RecordVersion | None:
    if settings.read.header is not None:
        return headers.get(settings.read.header)
    value: Any = fields
    for name in settings.read.path or ():
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def remove_at_path(fields: Mapping[str, Any], path: FieldPath) -> dict[str, Any]:
    """Return a copy of the fields without the value at a path."""
    name, *rest = path
    if not rest:
        return {other: value for other, value in fields.items() if other != name}
    inner = fields.get(name)
    if not isinstance(inner, Mapping):
        return dict(fields)
    return {**fields, name: remove_at_path(inner, tuple(rest))}


def merge_at_path(fields: Mapping[str, Any], path: FieldPath, value: Any) -> dict[str, Any]:
    """Return a copy of the fields that has a value at a path."""
    name, *rest = path
    if not rest:
        return {**fields, name: value}
    inner = fields.get(name)
    return {**fields, name: merge_at_path(inner if isinstance(inner, Mapping) else {}, tuple(rest), value)}
