"""Read declarations of mappings. Pure.

{"fields": {"email": {"path": "entity.emails[0].address", "apply": ["lower"], "required": true},
            "source": {"constant": "identity"}},
 "match": {"external_id": "external_id", "previous": {"email": "email"}, "new": ["email"],
           "verified": {"new": {"email": {"path": "entity.emails", "apply": ["verified_email", "lower"]}},
                        "previous": {"email": {"path": "emails", "apply": ["verified_email", "lower"]}}}}}
"""

from typing import Any

from config_schema.errors import SettingPath, SettingsInvalid
from connectors.values.fingerprint import fingerprint_json
from sync.planning.mapping import ParsedMapping

MAX_CACHED = 256


class InvalidMapping(ValueError):
    """An invalid declaration. The message names the field; `place` is the path to it."""

    def __init__(self, sentence: str, place: SettingPath = ()) -> None:
        super().__init__(sentence)
        self.place = place


_cache: dict[bytes, ParsedMapping] = {}


def parse_mapping(declaration: Any) -> ParsedMapping:
    """Parse and validate a declaration; the result is cached by content. Raises InvalidMapping."""
    try:
        key = fingerprint_json(declaration)
    except (TypeError, ValueError, RecursionError):
        # Not JSON: parsing raises an error that names the place.
        return _parse_declaration(declaration)
    cached = _cache.get(key)
    if cached is None:
        cached = _parse_declaration(declaration)
        if len(_cache) >= MAX_CACHED:
            _cache.clear()
        _cache[key] = cached
    return cached


# A whole declaration.
EXAMPLE = {
    "fields": {
        "external_id": {"path": "entity.id"},
        "email": {
            "path": "entity.emails",
            "apply": ["verified_email", "lower"],
            "required": True,
            "caseless": True,
        },
        "name": {"path": "entity.name.familyName", "apply": ["trim"]},
        "active": {"constant": True},
    },
    "match": {
        "external_id": "external_id",
        "previous": {"email": "email"},
        "new": ["email"],
        "verified": {"new": {"email": {"path": "entity.emails", "apply": ["verified_email", "lower"]}}},
    },
}


def _parse_declaration(declaration: Any) -> ParsedMapping:
    try:
        return ParsedMapping.kind.read(declaration, ())
    except SettingsInvalid as invalid:
        sentence = f"{_name_place(invalid.place)}: {invalid.sentence}"
        raise InvalidMapping(sentence, invalid.place) from invalid


def _name_place(place: SettingPath) -> str:
    """Return how a message names a place: `email.path` of a field, `match.new`; `The mapping` for all of it."""
    names = [step for step in place if isinstance(step, str)]
    if len(names) > 1 and names[0] == "fields":
        del names[0]
    return ".".join(names) or "The mapping"
