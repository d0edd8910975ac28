"""Read the settings of a route's systems, and name them in sentences."""

from config_schema.errors import SettingsInvalid, format_path
from connectors.registry import SETTINGS_KINDS
from connectors.settings.identity import EntitySettings, IdentitySettings
from connectors.settings.target import RecordSettings, TargetSettings
from sync.models import Connection


def read_records(connection: Connection, entity_type: str) -> RecordSettings | None:
    """Return how a target's records are read and written; None if its settings are invalid or lack the type."""
    settings = read_entity_settings(connection, entity_type)
    return settings if isinstance(settings, RecordSettings) else None


def read_entity_settings(connection: Connection, entity_type: str) -> EntitySettings | RecordSettings | None:
    """Return the settings of an entity type of a connection; None if they are invalid or lack the type."""
    try:
        settings = SETTINGS_KINDS[connection.connector].read(connection.settings, ())
    except (KeyError, SettingsInvalid):
        return None
    if isinstance(settings, IdentitySettings):
        return settings.entities.get(entity_type.upper())
    return settings.entities.get(entity_type.upper()) if isinstance(settings, TargetSettings) else None


def settings_path(connection: Connection, entity_type: str, *names: str) -> str:
    """Return the path of a setting of an entity type, with the type as the settings of the connection write it."""
    entities = connection.settings.get("entities") if isinstance(connection.settings, dict) else None
    entity_settings = entities if isinstance(entities, dict) else {}
    written = next((name for name in entity_settings if name.upper() == entity_type.upper()), entity_type)
    return format_path(("entities", written, *names))
