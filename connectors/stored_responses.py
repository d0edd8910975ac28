"""Read a stored response of the identity service: the entity in it, or that it is absent. Pure."""

from collections.abc import Mapping
from typing import Any

from config_schema.errors import SettingsInvalid, parse_pointer
from connectors.settings.identity import IDENTITY_SETTINGS
from connectors.values.answer_meaning import Meaning, find_meaning
from connectors.values.json_responses import (
    ExpressionOverBudget,
    UnreadableError,
    parse_json,
    read_item,
)


def says_absent(
    settings: Mapping[str, Any], entity_type: str, status: int, headers: Mapping[str, str], body: str
) -> bool:
    """Return True if the rules of the present settings say of a response to a fetch that the entity does not exist.
    Raises SettingsInvalid.
    """
    entity_settings = IDENTITY_SETTINGS.read(settings, ()).entities.get(entity_type.upper())
    if entity_settings is None:
        return False
    content = body.encode("utf-8", "surrogatepass")
    try:
        return find_meaning(entity_settings.answers, status, headers, content) is Meaning.ABSENT
    except ExpressionOverBudget as costly:
        raise SettingsInvalid(parse_pointer(costly.field.field), costly.field.detail) from None


def read_stored_entity(
    settings: Mapping[str, Any], entity_type: str, entity_id: str, body: str
) -> Mapping[str, Any] | None:
    """Return the attributes of the entity in a response body, by the present settings of its connection.

    Returns None if the body was cut or is about another entity. Raises SettingsInvalid.
    """
    parsed = IDENTITY_SETTINGS.read(settings, ())
    entity_settings = parsed.entities.get(entity_type.upper())
    if entity_settings is None:
        return None
    try:
        # `surrogatepass`: a lone surrogate must end as UnreadableError, not as UnicodeEncodeError.
        record = entity_settings.record.evaluate(parse_json(body.encode("utf-8", "surrogatepass")))
        found_id, attributes = read_item(record, entity_settings.id)
        return attributes if found_id == entity_id else None
    except UnreadableError:
        return None
    except ExpressionOverBudget as costly:
        raise SettingsInvalid(parse_pointer(costly.field.field), costly.field.detail) from None
