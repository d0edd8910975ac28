"""Documents that the hub accepts: the settings of presets, and the examples of the reference."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from config_schema.objects import VariantObject
from connectors.presets import PRESETS
from console.reference.json_schemas import DOCUMENTS
from console.reference.pages import PAGES
from devtools.sandbox_setup import MAPPINGS
from webhooks.presets.source_presets import SOURCE_PRESETS
from webhooks.protocol.schemes import SCHEMES

_PEERS = Path(__file__).parents[1] / "peers" / "settings"
# The fields of a source that are documents, and the schemas of these.
_SOURCE_DOCUMENTS = {
    "handshake": "handshake",
    "webhook_format": "webhook-format",
    "response_format": "response-format",
}

# What no preset uses.
_FURTHER: tuple[tuple[str, Any], ...] = (
    ("verification-hmac", {"header": "X-Signature", "signed": ["{url}", "|", "{body}"], "query": "a=b"}),
    ("verification-hmac", {"header": "X-Signature", "signed": ["{method}", "{url}", "{fields}"]}),
)


class NamedDocument(NamedTuple):
    """A document, and the name of its JSON Schema."""

    name: str
    document: Any


def right_documents() -> list[NamedDocument]:
    """Return documents that the hub accepts, at least one of each JSON Schema, each once."""
    documents = (*_of_connections(), *_of_sources(), *_of_mappings(), *_of_reference())
    documents += tuple(NamedDocument(*one) for one in _FURTHER)
    return list({json.dumps(one, sort_keys=True): one for one in documents}.values())


def _of_connections() -> Iterator[NamedDocument]:
    for preset in PRESETS.values():
        yield NamedDocument(f"settings-{preset.connector}", preset.connector_settings)
        yield NamedDocument("authentication", preset.authentication)


def _of_sources() -> Iterator[NamedDocument]:
    for preset in SOURCE_PRESETS.values():
        settings = preset.copy_settings()
        yield NamedDocument(f"verification-{settings['scheme']}", settings.get("scheme_settings", {}))
        for field, name in _SOURCE_DOCUMENTS.items():
            if settings.get(field):
                yield NamedDocument(name, settings[field])


def _of_mappings() -> Iterator[NamedDocument]:
    for _name, declaration in MAPPINGS.values():
        yield NamedDocument("mapping", declaration)
    for path in sorted(_PEERS.glob("*-to-*.json")):
        for mapping in json.loads(path.read_text()).values():
            yield NamedDocument("mapping", mapping)


def _of_reference() -> Iterator[NamedDocument]:
    for name, scheme in SCHEMES.items():
        yield NamedDocument(f"verification-{name}", scheme.example)
    for name, (_title, kind) in DOCUMENTS.items():
        if isinstance(kind, VariantObject):
            for variant in kind.variants.values():
                yield NamedDocument(name, variant.example)
    for make in PAGES.values():
        page = make()
        if page.schemas and page.example:
            yield NamedDocument(page.schemas[0], page.example)
