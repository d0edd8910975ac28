"""Versions of records, and conditional writes: a client says which version it has read."""

from collections.abc import Mapping
from typing import Any

from sandbox.base.store import Record
from sandbox.http.messages import FieldError, HttpError, Request

_OUTDATED = "This record was changed since it was read."


def build_etag(record: Mapping[str, Any]) -> str:
    """Return the entity tag of a record (RFC 9110, section 8.8.3)."""
    return f'"{record["version"]}"'


def require_current_version(request: Request, record: Record) -> None:
    """Refuse a write that names another version than the record's. A write that names none is unconditional.

    Raises HttpError: 412 if the header ``If-Match`` does not have its entity tag, 409 if the field ``version`` of the
    body, or the query parameter ``version``, has another value.
    """
    condition = request.get_header("If-Match")
    if condition and condition != "*" and build_etag(record) not in _split_tags(condition):
        raise HttpError(412, _OUTDATED)
    body = request.parse_json_object() if request.body else {}
    for version in (body.get("version"), request.query.get("version")):
        if version is not None and str(version) != str(record["version"]):
            raise HttpError(409, _OUTDATED, (FieldError("version", "outdated", _OUTDATED),))


def _split_tags(condition: str) -> list[str]:
    # The tags of the shop contain no comma. A weak tag never matches.
    return [tag.strip() for tag in condition.split(",")]
