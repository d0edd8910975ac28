"""Descriptions of the functions that expressions may call, each with an example and its result. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.expressions.expression_functions import LINKED
from config_schema.translatable import translatable

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
    "balance": -2.5,
    "created": "2026-02-28T23:30:00Z",
    "manager": None,
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


# The functions of the hub, then the functions of JMESPath.
FUNCTION_DESCRIPTIONS: Mapping[str, FunctionDescription] = {
    "lower": FunctionDescription(
        "lower(text)", translatable("The text in lower case."), "lower(email)", "anna@example.com"
    ),
    "upper": FunctionDescription(
        "upper(text)", translatable("The text in upper case."), "upper(email)", "ANNA@EXAMPLE.COM"
    ),
    "trim": FunctionDescription(
        "trim(text)", translatable("The text without white space around it."), "trim(name)", "Anna Aalto"
    ),
    "md5": FunctionDescription(
        "md5(text)",
        translatable(
            "The MD5 digest of the text in UTF-8, in hex. Only for systems that identify records by it."
        ),
        "md5(total)",
        "c20ad4d76fe97759aa27a0c99bff6710",
    ),
    "sha256": FunctionDescription(
        "sha256(text)",
        translatable("The SHA-256 digest of the text in UTF-8, in hex."),
        "sha256(total)",
        "6b51d431df5d7f141cbececcf79edf3dd861c3b4069f0b11661a3eefacbba918",
    ),
    "date": FunctionDescription(
        "date(time), date(time, form)",
        translatable(
            "The date in UTC. The time is RFC 3339, a date, or a number of seconds since 1970; a number of "
            "100,000,000,000 or more counts as milliseconds. `form` is `date`, `date-time`, `seconds` or "
            "`milliseconds`."
        ),
        "[date(created), date(created, 'seconds')]",
        ["2026-02-28", 1772321400],
    ),
    "first_email": FunctionDescription(
        "first_email(list)",
        translatable("The first address of a list of texts or of objects with `address`, verified or not."),
        "first_email(addresses)",
        "old@example.com",
    ),
    "difference": FunctionDescription(
        "difference(list, others)",
        translatable(
            "The items of the list that are not among the others, such as members to remove. Null if one of the lists "
            "is null."
        ),
        "difference(groups, former)",
        ["staff"],
    ),
    "split": FunctionDescription(
        "split(text, separator)",
        translatable("The parts of the text between the separators."),
        "split(resource, '/')[-1]",
        "f8a1",
    ),
    "replace": FunctionDescription(
        "replace(text, old, new)",
        translatable("The text with each occurrence of `old` replaced with `new`."),
        "replace(resource, 'users/', '')",
        "f8a1",
    ),
    "from_json": FunctionDescription(
        "from_json(text)",
        translatable("The value of a JSON text, such as an entity inside a webhook."),
        "from_json(raw).id",
        "f8a1",
    ),
    "from_base64": FunctionDescription(
        "from_base64(text)",
        translatable("The UTF-8 text decoded from base64 or base64url."),
        "from_base64(data)",
        '{"id": "f8a1"}',
    ),
    "items": FunctionDescription(
        "items(object)",
        translatable("The fields of the object, as a list of objects with `key` and `value`."),
        "items(labels)",
        [{"key": "colour", "value": "red"}, {"key": "size", "value": "L"}],
    ),
    "zip": FunctionDescription(
        "zip(list, list, …)",
        translatable(
            "The first items of all lists as a list, then the second ones, to the end of the shortest list."
        ),
        "zip(groups, points)",
        [["staff", 3], ["buyers", 1]],
    ),
    LINKED: FunctionDescription(
        "linked(type, id)",
        translatable(
            "The id of this entity's record in the same target or, for a list of ids, the list of their "
            "record ids. Only in the fields of a mapping. In the example, the record of the user has the id "
            "4711."
        ),
        "linked('USER', id)",
        "4711",
    ),
    "abs": FunctionDescription(
        "abs(number)", translatable("The number without its sign."), "abs(balance)", 2.5
    ),
    "avg": FunctionDescription(
        "avg(numbers)",
        translatable("The average of a list of numbers; null for an empty list."),
        "avg(points)",
        2.0,
    ),
    "ceil": FunctionDescription(
        "ceil(number)", translatable("The number, rounded up to a whole number."), "ceil(balance)", -2
    ),
    "contains": FunctionDescription(
        "contains(list, value), contains(text, part)",
        translatable("True if the list contains the value, or the text contains the part."),
        "contains(groups, 'staff')",
        True,
    ),
    "ends_with": FunctionDescription(
        "ends_with(text, end)",
        translatable("True if the text ends with `end`."),
        "ends_with(email, '.com')",
        True,
    ),
    "floor": FunctionDescription(
        "floor(number)", translatable("The number, rounded down to a whole number."), "floor(balance)", -3
    ),
    "join": FunctionDescription(
        "join(separator, texts)",
        translatable("The texts of the list, joined with the separator."),
        "join(', ', groups)",
        "staff, buyers",
    ),
    "keys": FunctionDescription(
        "keys(object)",
        translatable("The names of the fields of the object."),
        "keys(labels)",
        ["colour", "size"],
    ),
    "length": FunctionDescription(
        "length(value)",
        translatable("The number of characters, items or fields of a text, a list or an object."),
        "length(groups)",
        2,
    ),
    "map": FunctionDescription(
        "map(&expression, list)",
        translatable("The value of the expression for each item of the list, nulls included."),
        "map(&address, addresses)",
        ["old@example.com", "anna@example.com"],
    ),
    "max": FunctionDescription(
        "max(list)",
        translatable("The largest number, or the last text in alphabetical order, of the list."),
        "max(points)",
        3,
    ),
    "max_by": FunctionDescription(
        "max_by(list, &expression)",
        translatable("The item of the list for which the expression is largest."),
        "max_by(addresses, &rank).address",
        "old@example.com",
    ),
    "merge": FunctionDescription(
        "merge(object, object, …)",
        translatable(
            "One object with the fields of all objects; if a name occurs twice, the last value counts."
        ),
        "merge(labels, {size: 'M'})",
        {"colour": "red", "size": "M"},
    ),
    "min": FunctionDescription(
        "min(list)",
        translatable("The smallest number, or the first text in alphabetical order, of the list."),
        "min(points)",
        1,
    ),
    "min_by": FunctionDescription(
        "min_by(list, &expression)",
        translatable("The item of the list for which the expression is smallest."),
        "min_by(addresses, &rank).address",
        "anna@example.com",
    ),
    "not_null": FunctionDescription(
        "not_null(value, value, …)",
        translatable("The first of the values that is not null."),
        "not_null(manager, id)",
        42,
    ),
    "reverse": FunctionDescription(
        "reverse(list)", translatable("The list or the text in reverse order."), "reverse(points)", [2, 1, 3]
    ),
    "sort": FunctionDescription(
        "sort(list)",
        translatable("The numbers or the texts of the list in order."),
        "sort(points)",
        [1, 2, 3],
    ),
    "sort_by": FunctionDescription(
        "sort_by(list, &expression)",
        translatable("The items of the list in the order of the expression."),
        "sort_by(addresses, &rank)[0].address",
        "anna@example.com",
    ),
    "starts_with": FunctionDescription(
        "starts_with(text, begin)",
        translatable("True if the text begins with `begin`."),
        "starts_with(email, 'Anna')",
        True,
    ),
    "sum": FunctionDescription(
        "sum(numbers)", translatable("The sum of a list of numbers."), "sum(points)", 6
    ),
    "to_array": FunctionDescription(
        "to_array(value)",
        translatable("A list as it is, and any other value as a list of one item."),
        "to_array(email)",
        ["Anna@Example.com"],
    ),
    "to_number": FunctionDescription(
        "to_number(text)",
        translatable("The number that the text holds; null if it holds none."),
        "to_number(total)",
        12,
    ),
    "to_string": FunctionDescription(
        "to_string(value)",
        translatable("A text as it is, and any other value as JSON."),
        "to_string(id)",
        "42",
    ),
    "type": FunctionDescription(
        "type(value)",
        translatable("`string`, `number`, `boolean`, `array`, `object` or `null`."),
        "type(groups)",
        "array",
    ),
    "values": FunctionDescription(
        "values(object)",
        translatable("The values of the fields of the object."),
        "values(labels)",
        ["red", "L"],
    ),
}
