"""The hub's configuration for the peers, from the files in `tests/peers/settings`, validated as the console does it."""

import json
from pathlib import Path
from typing import Any

from connectors.presets import PRESETS
from sync.mappings.configuration_gaps import route_gaps
from sync.mappings.preset_mapping import draft_declaration
from sync.models import Connection, ConnectionSide, Mapping, MappingVersion, Route
from tests.peers.hub.running_hub import SECRET, SECRET_HEADER
from webhooks.models import Source, SourceSecret

_FOLDER = Path(__file__).parents[1] / "settings"


def load_settings(name: str) -> dict[str, Any]:
    """Return a file of settings."""
    document: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text("utf-8"))
    return document


def draft_declarations(identity: str, target: str) -> dict[str, Any]:
    """Return the drafted mapping of each entity type that two presets have."""
    provides, accepts = PRESETS[identity].provides, PRESETS[target].accepts
    types = [entity_type for entity_type in provides if entity_type in accepts]
    return {
        entity_type: draft_declaration(provides[entity_type], accepts[entity_type]) for entity_type in types
    }


def add_source(slug: str, **fields: Any) -> Source:
    """Create a source that proves itself by a secret in a header."""
    source = Source(
        slug=slug, name=slug, **{"scheme": "header", "scheme_settings": {"header": SECRET_HEADER}} | fields
    )
    source.full_clean()
    source.save()
    SourceSecret.objects.create(source=source, value=SECRET, hint=SECRET[-4:])
    return source


def add_connection(
    slug: str, settings_name: str, base_url: str, credentials: dict[str, str], **fields: Any
) -> Connection:
    """Create a connection with the settings of a file."""
    document = load_settings(settings_name)
    is_target = document["connector"] == "rest-target"
    connection = Connection(
        slug=slug,
        name=slug.partition("-")[0].capitalize(),
        side=ConnectionSide.TARGET if is_target else ConnectionSide.IDENTITY,
        connector=document["connector"],
        base_url=base_url,
        authentication=document["authentication"],
        settings=document["settings"],
        credentials=credentials,
        relays_sentences=is_target,
        **fields,
    )
    connection.full_clean()
    connection.save()
    return connection


def add_route(
    source: Source,
    entity_type: str,
    identity: Connection,
    target: Connection,
    declaration: dict[str, Any],
    **fields: Any,
) -> Route:
    """Create a route with a mapping of its own. Fails if a setting is missing that the route needs."""
    mapping = Mapping.objects.create(name=f"{source.slug} {entity_type} {target.slug}")
    version = MappingVersion(mapping=mapping, number=1, declaration=declaration)
    version.full_clean()
    version.save()
    route = Route(
        source=source,
        entity_type=entity_type,
        identity=identity,
        target=target,
        mapping=mapping,
        **{
            "when_deleted": Route.DeletionPolicy.DELETE,
            "max_attempts": 60,
            "retry_base_seconds": 0.5,
            "retry_cap_seconds": 2.0,
        }
        | fields,
    )
    route.full_clean()
    gaps = [sentence for _field, sentence in route_gaps(route)]
    assert not gaps, gaps
    route.save()
    return route
