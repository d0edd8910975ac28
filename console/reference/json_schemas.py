"""JSON Schemas of the documents that people write, made from the descriptions of their settings."""

import json
from collections.abc import Mapping
from typing import Any

from config_schema.kinds import ValueKind
from connectors.registry import CONNECTORS, SETTINGS_KINDS
from connectors.settings.authentication import AUTHENTICATION
from connectors.settings.body_template import BODY_SCHEMAS
from connectors.settings.expression_documents import DOCUMENT_SCHEMAS
from sync.planning.mapping import ParsedMapping
from webhooks.protocol.formats.webhook_format import WebhookFormat
from webhooks.protocol.handshake import HANDSHAKE
from webhooks.protocol.schemes import SCHEMES
from webhooks.responses.response_format import RESPONSE_FORMAT

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# By name of the schema: the title, and the kind of the document.
DOCUMENTS: Mapping[str, tuple[str, ValueKind[Any]]] = {
    **{
        f"verification-{name}": (f"Settings: {scheme.label}", scheme.schema)
        for name, scheme in SCHEMES.items()
    },
    **{
        f"settings-{name}": (f"Settings: {label}", SETTINGS_KINDS[name]) for name, label in CONNECTORS.items()
    },
    "handshake": ("Handshake of a source", HANDSHAKE),
    "response-format": ("Response format of a source", RESPONSE_FORMAT),
    "authentication": ("Authentication of a connection", AUTHENTICATION),
    "mapping": ("Declaration of a mapping", ParsedMapping.kind),
    "webhook-format": ("Webhook format of a source", WebhookFormat.kind),
}


def make_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a document. Raises KeyError if there is no such document.

    It refuses less than the hub, which also compiles expressions and compares settings with each other.
    """
    title, kind = DOCUMENTS[name]
    schema = kind.to_schema()
    text = json.dumps(schema)
    definitions = {**BODY_SCHEMAS, **DOCUMENT_SCHEMAS}
    used = {part: one for part, one in definitions.items() if f'"#/$defs/{part}"' in text}
    if used:
        schema["$defs"] = used
    return {"$schema": DIALECT, "$id": f"urn:integration-hub:{name}", "title": title, **schema}
