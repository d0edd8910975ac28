"""Descriptions of the functions that the hub adds to JMESPath, each with an example and its result. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.expressions.expression_functions import LINKED

# All examples look into this document.
EXAMPLE_DOCUMENT: Mapping[str, Any] = {
    "id": 42,
    "name": " Anna Aalto ",
    "email": "Anna@Example.com",
    "addresses": [
        {"address": "old@example.com", "verified": False, "rank": 2},
        {"address": "anna@example.com", "verified": True, "rank": 1},
    ],
    "groups": ["staff", "buyers"],
    "former": ["buyers"],
    "points": [3, 1, 2],
    "labels": {"colour": "red", "size": "L"},
    "created": "2026-02-28T23:30:00Z",
    "total": "12",
    "resource": "users/f8a1",
    "raw": '{"id": "f8a1"}',
    "data": "eyJpZCI6ICJmOGExIn0=",
}


@dataclass(frozen=True, slots=True)
class FunctionDescription:
    """A function of expressions.

    `call` shows its arguments by name. `example` is an expression over `EXAMPLE_DOCUMENT`, and `result` its value.
    """

    call: str
    meaning: str
    example: str
    result: Any


# Those of JMESPath itself are described by its specification.
FUNCTION_DESCRIPTIONS: Mapping[str, FunctionDescription] = {
    "lower": FunctionDescription(
        "lower(text)", "The text in lower case.", "lower(email)", "anna@example.com"
    ),
    "upper": FunctionDescription(
        "upper(text)", "The text in upper case.", "upper(email)", "ANNA@EXAMPLE.COM"
    ),
    "trim": FunctionDescription(
        "trim(text)", "The text without white space around it.", "trim(name)", "Anna Aalto"
    ),
    "md5": FunctionDescription(
        "md5(text)",
        "The MD5 digest of the text in UTF-8, in hex. Only for systems that identify records by it.",
        "md5(total)",
        "c20ad4d76fe97759aa27a0c99bff6710",
    ),
    "sha256": FunctionDescription(
        "sha256(text)",
        "The SHA-256 digest of the text in UTF-8, in hex.",
        "sha256(total)",
        "6b51d431df5d7f141cbececcf79edf3dd861c3b4069f0b11661a3eefacbba918",
    ),
    "date": FunctionDescription(
        "date(time), date(time, form)",
        "The date in UTC. The time is RFC 3339, a date, or a number of seconds since 1970; a number of 100,000,000,000 "
        "or more counts as milliseconds. `form` is `date`, `date-time`, `seconds` or `milliseconds`.",
        "[date(created), date(created, 'seconds')]",
        ["2026-02-28", 1772321400],
    ),
    "first_email": FunctionDescription(
        "first_email(list)",
        "The first address of a list of texts or of objects with `address`, verified or not.",
        "first_email(addresses)",
        "old@example.com",
    ),
    "difference": FunctionDescription(
        "difference(list, others)",
        "The items of the list that are not among the others, such as members to remove. Null if one of the lists is "
        "null.",
        "difference(groups, former)",
        ["staff"],
    ),
    "split": FunctionDescription(
        "split(text, separator)",
        "The parts of the text between the separators.",
        "split(resource, '/')[-1]",
        "f8a1",
    ),
    "replace": FunctionDescription(
        "replace(text, old, new)",
        "The text with each occurrence of `old` replaced with `new`.",
        "replace(resource, 'users/', '')",
        "f8a1",
    ),
    "from_json": FunctionDescription(
        "from_json(text)",
        "The value of a JSON text, such as an entity inside a webhook.",
        "from_json(raw).id",
        "f8a1",
    ),
    "from_base64": FunctionDescription(
        "from_base64(text)",
        "The UTF-8 text decoded from base64 or base64url.",
        "from_base64(data)",
        '{"id": "f8a1"}',
    ),
    "items": FunctionDescription(
        "items(object)",
        "The fields of the object, as a list of objects with `key` and `value`.",
        "items(labels)",
        [{"key": "colour", "value": "red"}, {"key": "size", "value": "L"}],
    ),
    "zip": FunctionDescription(
        "zip(list, list, …)",
        "The first items of all lists as a list, then the second ones, to the end of the shortest list.",
        "zip(groups, points)",
        [["staff", 3], ["buyers", 1]],
    ),
    LINKED: FunctionDescription(
        "linked(type, id)",
        "The id of this entity's record in the same target or, for a list of ids, the list of their record ids. Only "
        "in the fields of a mapping. In the example, the record of the user has the id 4711.",
        "linked('USER', id)",
        "4711",
    ),
}
