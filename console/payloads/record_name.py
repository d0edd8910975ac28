"""Find the name of a person, a group or a file among the fields of its record or its entity. Pure."""

import re
from collections.abc import Mapping
from typing import Any

# The names that systems give these fields, in lower case and without punctuation.
_WHOLE_NAMES = ("displayname", "fullname", "formatted", "name", "filename")
_GIVEN_NAMES = ("firstname", "givenname", "forename")
_FAMILY_NAMES = ("lastname", "familyname", "surname")
_MAX_LENGTH = 80
_PUNCTUATION = re.compile(r"[^a-z0-9]")


def record_name(fields: Mapping[str, Any]) -> str:
    """Return the name in these fields; empty if no field is called like one. `name` may be an object of its parts.

    First name and last name come before a whole name, because a system may fill that with anything, such as an e-mail
    address.
    """
    nested = fields.get("name")
    known = {**fields, **nested} if isinstance(nested, Mapping) else fields
    texts = {
        _PUNCTUATION.sub("", name.lower()): " ".join(value.split())
        for name, value in known.items()
        if isinstance(value, str)
    }

    def first_of(names: tuple[str, ...]) -> str:
        return next((texts[name] for name in names if texts.get(name)), "")

    parts = first_of(_GIVEN_NAMES), first_of(_FAMILY_NAMES)
    return (" ".join(filter(None, parts)) or first_of(_WHOLE_NAMES))[:_MAX_LENGTH]
