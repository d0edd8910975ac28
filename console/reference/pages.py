"""Pages of the reference: one for each kind of thing that is configured."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from config_schema.expressions.expression_functions import STANDARD_FUNCTIONS
from config_schema.expressions.function_descriptions import EXAMPLE_DOCUMENT, FUNCTION_DESCRIPTIONS
from config_schema.objects import Object, VariantObject
from connectors.settings.authentication import AUTHENTICATION, SCHEMES
from connectors.settings.credentials import CREDENTIALS
from connectors.settings.identity import IDENTITY_SETTINGS
from connectors.settings.operations.record_operations import EXAMPLE as OPERATIONS_EXAMPLE
from connectors.settings.target import TARGET_SETTINGS
from console.settings.connections.forms import CREDENTIAL_LABELS, ConnectionForm
from console.settings.mappings.words import FUNCTION_LABELS
from console.settings.routes.forms import RouteForm
from console.settings.sources.forms import SourceForm
from console.ui.setting_entries import (
    SettingEntry,
    SettingSection,
    describe_fields,
    describe_object,
    describe_variants,
    share_sections,
)
from sync.models import CONNECTION_SETTINGS, ROUTE_SETTINGS, Connection, Route
from sync.planning.mapping import ParsedMapping
from sync.planning.mapping_declaration import EXAMPLE
from webhooks.models import SOURCE_SETTINGS, Source
from webhooks.protocol.formats.webhook_format import EXAMPLE as FORMAT_EXAMPLE
from webhooks.protocol.formats.webhook_format import WebhookFormat
from webhooks.protocol.handshake import HANDSHAKE
from webhooks.protocol.schemes import SCHEMES as VERIFICATION_SCHEMES
from webhooks.protocol.schemes import VerificationScheme
from webhooks.responses.response_format import RESPONSE_FORMAT


@dataclass(frozen=True, slots=True)
class ReferencePage:
    """A page of the reference.

    `fields` are the fields of the form, `sections` the parts of the JSON document, and `schemas` the names of its JSON
    Schemas. `example` is a whole document. `words` has names and meanings for a separate table with the title
    `words_title`.
    """

    name: str
    title: str | Promise
    intro: str
    fields: tuple[SettingEntry, ...] = ()
    sections: tuple[SettingSection, ...] = ()
    schemas: tuple[str, ...] = ()
    example: Any = None
    words: tuple[tuple[str, str], ...] = field(default=())
    words_title: str | Promise = ""


def _source_page() -> ReferencePage:
    return ReferencePage(
        "source",
        _("Source"),
        gettext(
            "A source is a configured sender of webhooks. Its secrets have their own form, are stored "
            "encrypted, and are never shown again."
        ),
        describe_fields(Source, SOURCE_SETTINGS, SourceForm),
        (
            *_variant_sections(HANDSHAKE, "handshake", gettext("The handshake of a sender, in `handshake`.")),
            *_variant_sections(
                RESPONSE_FORMAT,
                "response_format",
                gettext("The format of the answers, in `response_format`."),
            ),
        ),
        ("handshake", "response-format"),
    )


def _format_page() -> ReferencePage:
    return ReferencePage(
        "webhook-format",
        _("Webhook format"),
        gettext(
            "How the hub reads events from the requests of a source. Without a format, the body is one event "
            "with the hub's own fields. Expressions are JMESPath (https://jmespath.org/specification.html). "
            "`body` is the request's body, or null if it is empty. `headers` has its headers by lower-case "
            "name, without those that hold secrets; `query` has the parameters of its address; `event` is "
            "the event being read. `!a.b` means `(!a).b` in JMESPath and is refused: write `!(a.b)`."
        ),
        sections=tuple(describe_object(WebhookFormat.kind, gettext("The fields of a webhook format."))),
        schemas=("webhook-format",),
        example=FORMAT_EXAMPLE,
    )


def _variant_sections(kind: VariantObject[Any], place: str, meaning: str) -> Iterator[SettingSection]:
    selector, *variants = describe_variants(kind)
    yield replace(selector, place=place, meaning=meaning)
    yield from share_sections(variants)


def _verification_page() -> ReferencePage:
    return ReferencePage(
        "verification",
        _("Verification"),
        gettext(
            "How the hub verifies who sent a webhook: the verification of a source, and the JSON of its options. "
            "Signatures with a time are accepted for five minutes, unless `window` says otherwise."
        ),
        sections=tuple(_describe_scheme(name, scheme) for name, scheme in VERIFICATION_SCHEMES.items()),
        schemas=tuple(f"verification-{name}" for name in VERIFICATION_SCHEMES),
    )


def _describe_scheme(name: str, scheme: VerificationScheme) -> SettingSection:
    secret = (gettext("Secret: %(form)s") % {"form": scheme.secret},) if scheme.secret else ()
    section = next(describe_object(scheme.schema, scheme.meaning))
    return replace(section, rules=(*section.rules, *secret), example=scheme.example, title=name)


def _connection_page(
    name: str,
    title: Promise,
    intro: str,
    kind: Object[Any],
    connector: str,
    example: Any,
    field_examples: Mapping[str, Any],
) -> ReferencePage:
    fields = dict(CONNECTION_SETTINGS)
    for field_name, value in field_examples.items():
        fields[field_name] = replace(fields[field_name], example=value)
    return ReferencePage(
        name,
        title,
        gettext(
            "%(intro)s In the reference, the steps of a path are separated by dots; `TYPE` stands for an "
            "entity type."
        )
        % {"intro": intro},
        describe_fields(Connection, fields, ConnectionForm),
        tuple(
            describe_object(
                kind, gettext("The settings of the connector `%(connector)s`.") % {"connector": connector}
            )
        ),
        (f"settings-{connector}",),
        example,
    )


def _identity_page() -> ReferencePage:
    return _connection_page(
        "identity-connection",
        _("Identity connection"),
        gettext("An identity connection says where the hub fetches the current data of an entity."),
        IDENTITY_SETTINGS,
        "rest-identity",
        {
            "entities": {
                "USER": {
                    "path": "/api/users/{id}",
                    "modified": "meta.lastModified",
                    "list": {"path": "/api/users", "results": "resources", "total": "totalResults"},
                }
            },
            "error": {"sentence": "errorMessage"},
        },
        {
            "slug": "acme-id",
            "name": "Acme ID",
            "side": "identity",
            "connector": "rest-identity",
            "base_url": "https://id.example.com",
            "settings": {"entities": {"USER": {"path": "/api/users/{id}"}}},
        },
    )


def _target_page() -> ReferencePage:
    return _connection_page(
        "target-connection",
        _("Target connection"),
        gettext("A target connection says where the hub creates, updates and deletes records."),
        TARGET_SETTINGS,
        "rest-target",
        {
            "entities": {
                "USER": {
                    "operations": {
                        "get": {"path": "/api/customers/{id}"},
                        "search": {
                            "path": "/api/customers",
                            "query": {"{field}": "{value}"},
                            "result": "items",
                            "fields": ["external_id", "email"],
                        },
                        "create": {"path": "/api/customers"},
                        "update": {"path": "/api/customers/{id}"},
                    },
                    "version": {"read": {"header": "ETag"}, "send": {"header": "If-Match"}},
                }
            },
            "caseless": ["email"],
            "error": {"sentence": "message"},
        },
        {"settings": {"entities": {"USER": {"operations": OPERATIONS_EXAMPLE}}}},
    )


def _authentication_page() -> ReferencePage:
    words = tuple(
        (
            name,
            f"{CREDENTIAL_LABELS[name]}: {credential.meaning} "
            f"({', '.join(scheme for scheme, names in SCHEMES.items() if name in names)})",
        )
        for name, credential in CREDENTIALS.items()
    )
    return ReferencePage(
        "authentication",
        _("Authentication"),
        gettext(
            "How the requests of a connection are authenticated. Credentials are never part of this JSON: "
            "they have their own fields, are stored encrypted, and are never shown again."
        ),
        sections=tuple(share_sections(describe_variants(AUTHENTICATION))),
        schemas=("authentication",),
        words=words,
        words_title=_("Credentials"),
    )


def _mapping_page() -> ReferencePage:
    return ReferencePage(
        "mapping",
        _("Mapping"),
        gettext(
            "A mapping says which field of the record comes from which field of the entity. A path is a "
            "JMESPath expression (https://jmespath.org/specification.html). In the paths below, `FIELD` stands "
            "for a field of the record."
        ),
        sections=tuple(describe_object(ParsedMapping.kind, gettext("The fields of a mapping."))),
        schemas=("mapping",),
        example=EXAMPLE,
        words=tuple((name, str(label)) for name, label in FUNCTION_LABELS.items()),
        words_title=_("Functions to convert values"),
    )


def _functions_page() -> ReferencePage:
    words = tuple(
        (
            function.call,
            gettext("%(meaning)s Example: `%(expression)s` gives `%(result)s`.")
            % {
                "meaning": function.meaning,
                "expression": function.example,
                "result": json.dumps(function.result, ensure_ascii=False),
            },
        )
        for function in FUNCTION_DESCRIPTIONS.values()
    )
    return ReferencePage(
        "functions",
        _("Functions"),
        gettext(
            "The functions that an expression of a mapping, a webhook format, a response format or the settings of a "
            "connection may call besides those of JMESPath, which are described at "
            "https://jmespath.org/specification.html#built-in-functions: %(names)s. All examples read the document "
            "below. A text function returns a value of any other type unchanged."
        )
        % {"names": ", ".join(f"`{name}`" for name in sorted(STANDARD_FUNCTIONS))},
        example=dict(EXAMPLE_DOCUMENT),
        words=words,
        words_title=_("Functions of the hub"),
    )


def _route_page() -> ReferencePage:
    return ReferencePage(
        "route",
        _("Route"),
        gettext(
            "A route says which events of a source change which target, with which mapping and policies."
        ),
        describe_fields(Route, ROUTE_SETTINGS, RouteForm),
    )


# By the name of the page, in the order of the index.
PAGES: Mapping[str, Callable[[], ReferencePage]] = {
    "source": _source_page,
    "webhook-format": _format_page,
    "verification": _verification_page,
    "identity-connection": _identity_page,
    "target-connection": _target_page,
    "authentication": _authentication_page,
    "mapping": _mapping_page,
    "route": _route_page,
    "functions": _functions_page,
}
