"""The schema of each collection, and the check of what clients send."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.http.messages import FieldError, HttpError

READ_ONLY = frozenset({"id", "created_at", "updated_at", "version"})
"""Fields that the shop sets. Clients may send them; they are ignored, but see `versions` for ``version``."""

_EMAIL_PATTERN = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_MAX_LENGTH = 500


@dataclass(frozen=True, slots=True)
class FieldSchema:
    """The rules for one field. ``value_type`` is str, int, bool or list (of texts)."""

    value_type: type
    is_required: bool = False
    default: object = None


OPTIONAL_TEXT = FieldSchema(str)

SCHEMAS: dict[str, dict[str, FieldSchema]] = {
    "customers": {
        "external_id": OPTIONAL_TEXT,
        "email": FieldSchema(str, is_required=True),
        "first_name": OPTIONAL_TEXT,
        "last_name": OPTIONAL_TEXT,
        "phone": OPTIONAL_TEXT,
        "language": OPTIONAL_TEXT,
        "active": FieldSchema(bool, default=True),
        "segments": FieldSchema(list, default=()),
    },
    "segments": {
        "external_id": OPTIONAL_TEXT,
        "name": FieldSchema(str, is_required=True),
        "description": OPTIONAL_TEXT,
        "members": FieldSchema(list, default=()),
    },
    "documents": {
        "external_id": OPTIONAL_TEXT,
        "title": FieldSchema(str, is_required=True),
        "content_type": OPTIONAL_TEXT,
        "size": FieldSchema(int),
        "url": OPTIONAL_TEXT,
        "owner": OPTIONAL_TEXT,
        "owner_id": OPTIONAL_TEXT,
    },
}

CUSTOMER_FIELDS: Mapping[str, str] = {"segments": "members", "documents": "owner_id"}
"""By collection, the field that contains the id of a customer, or a list of them."""

_TYPE_WORDS = {str: "a text", int: "a whole number", bool: "true or false", list: "a list of texts"}


def parse_fields(collection: str, body: Mapping[str, object], *, replaces: bool) -> dict[str, object]:
    """Return the writable fields of ``body``; of a replacement all fields, absent ones as null or their default.

    Raises HttpError (422) with one error for each invalid field, and for each required one that a replacement lacks.
    """
    schema = SCHEMAS[collection]
    sent_fields = {name: value for name, value in body.items() if name not in READ_ONLY}
    errors = [error for name, value in sent_fields.items() if (error := _check_field(schema, name, value))]
    if replaces:
        errors += [
            _build_missing_error(name)
            for name, field in schema.items()
            if field.is_required and name not in sent_fields
        ]
    if errors:
        raise build_validation_error(*errors)
    fields = {name: _fill_default(schema[name], value) for name, value in sent_fields.items()}
    defaults = {name: _fill_default(field, None) for name, field in schema.items()} if replaces else {}
    return defaults | fields


def build_validation_error(*errors: FieldError) -> HttpError:
    """Return an HttpError (422) with these errors, and with the message of the first one."""
    return HttpError(422, errors[0].message, errors)


def _fill_default(field: FieldSchema, value: object) -> object:
    value = field.default if value is None else value
    return list(value) if isinstance(value, list | tuple) else value


def _build_missing_error(name: str) -> FieldError:
    return FieldError(name, "required", f"{name} is required.")


def _check_field(schema: Mapping[str, FieldSchema], name: str, value: object) -> FieldError | None:
    """Return the error of one field that a client sent; None if its value is valid."""
    field = schema.get(name)
    if field is None:
        return FieldError(name, "unknown", f"There is no field {name[:60]}.")
    if value is None or value == "":
        return _build_missing_error(name) if field.is_required else None
    if not _is_of_type(field.value_type, value):
        return FieldError(name, "type", f"{name} must be {_TYPE_WORDS[field.value_type]}.")
    if isinstance(value, str) and len(value) > _MAX_LENGTH:
        return FieldError(name, "too_long", f"{name} is longer than {_MAX_LENGTH} characters.")
    if name == "email" and not _EMAIL_PATTERN.fullmatch(str(value)):
        return FieldError(name, "invalid", "This is not an e-mail address.")
    return None


def _is_of_type(value_type: type, value: object) -> bool:
    if value_type is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if value_type is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, value_type)
