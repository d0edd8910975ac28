"""What a record of each collection may hold, and the check of what clients send."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.http.messages import FieldError, Problem

READ_ONLY = frozenset({"id", "created_at", "updated_at", "version"})
"""Members that the shop sets itself. They may be sent back and are ignored."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Field:
    """A member: ``kind`` is str, int, bool or list (of texts)."""

    kind: type
    required: bool = False
    default: object = None


TEXT = Field(str)

SCHEMAS: dict[str, dict[str, Field]] = {
    "customers": {
        "external_id": TEXT,
        "email": Field(str, required=True),
        "first_name": TEXT,
        "last_name": TEXT,
        "phone": TEXT,
        "language": TEXT,
        "active": Field(bool, default=True),
        "segments": Field(list, default=()),
    },
    "segments": {"external_id": TEXT, "name": Field(str, required=True), "description": TEXT},
    "documents": {
        "external_id": TEXT,
        "title": Field(str, required=True),
        "content_type": TEXT,
        "size": Field(int),
        "url": TEXT,
        "owner": TEXT,
    },
}

_KIND_WORDS = {str: "a text", int: "a whole number", bool: "true or false", list: "a list of texts"}


def checked(collection: str, body: Mapping[str, object], *, whole: bool) -> dict[str, object]:
    """The writable members of ``body``. With ``whole`` every field, the ones left out as null or their
    default.

    Raises Problem (422) with one error for each field that is wrong.
    """
    schema = SCHEMAS[collection]
    given = {name: value for name, value in body.items() if name not in READ_ONLY}
    errors = [error for name, value in given.items() if (error := _error(schema, name, value))]
    if whole:
        errors += [_missing(name) for name, field in schema.items() if field.required and name not in given]
    if errors:
        raise invalid(*errors)
    filled = {name: _filled(schema[name], value) for name, value in given.items()}
    blank = {name: _filled(field, None) for name, field in schema.items()} if whole else {}
    return blank | filled


def invalid(*errors: FieldError) -> Problem:
    """The refusal; its sentence is that of the first error."""
    return Problem(422, errors[0].message, errors)


def _filled(field: Field, value: object) -> object:
    value = field.default if value is None else value
    return list(value) if isinstance(value, list | tuple) else value


def _missing(name: str) -> FieldError:
    return FieldError(name, "required", f"{name} is required.")


def _error(schema: Mapping[str, Field], name: str, value: object) -> FieldError | None:
    field = schema.get(name)
    if field is None:
        return FieldError(name, "unknown", f"There is no field {name[:60]}.")
    if value is None or value == "":
        return _missing(name) if field.required else None
    if not _is_of_kind(field.kind, value):
        return FieldError(name, "type", f"{name} must be {_KIND_WORDS[field.kind]}.")
    if isinstance(value, str) and len(value) > _LONGEST:
        return FieldError(name, "too_long", f"{name} is longer than {_LONGEST} characters.")
    if name == "email" and not _EMAIL.fullmatch(str(value)):
        return FieldError(name, "invalid", "This is not an e-mail address.")
    return None


def _is_of_kind(kind: type, value: object) -> bool:
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is list:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    return isinstance(value, kind)
