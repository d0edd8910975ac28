"""The fields of the JSON documents that the forms of settings ask for."""

from functools import cache
from typing import Any

from config_schema.objects import Object
from console.ui.setting_entries import FieldList, Section, describe_object, describe_variants, group_variants
from sync.connectors.registry import CONNECTORS, SETTINGS_KINDS
from sync.connectors.settings.authentication import AUTHENTICATION
from sync.models import ROUTE_SETTINGS, Connection
from sync.planning.mapping_declaration import MAPPING
from webhooks.models import SOURCE_SETTINGS, Source
from webhooks.protocol.formats.webhook_format import WEBHOOK_FORMAT
from webhooks.protocol.handshake import HANDSHAKE
from webhooks.protocol.schemes import SCHEMES
from webhooks.responses.formats import RESPONSE_FORMAT

# By the name of the connector: the page of the reference.
_SETTINGS_PAGES = {"rest-identity": "identity-connection", "rest-commercial": "target-connection"}


def describe_schemes() -> tuple[Section, ...]:
    """Return a section for each scheme of verification."""
    return tuple(
        Section(
            "",
            scheme.meaning,
            next(iter(describe_object(scheme.schema, ""))).entries,
            (f"Secret: {scheme.secret}",) if scheme.secret else (),
            scheme.example,
            name,
        )
        for name, scheme in SCHEMES.items()
    )


def source_field_lists(saved: Source | None) -> dict[str, FieldList]:
    """Return the lists for the form of a source, by field; None for a new one. Of variants, the saved one."""
    lists = _source_documents()
    if saved is None:
        return lists
    return lists | {
        "scheme_settings": lists["scheme_settings"].choose(saved.scheme),
        "response_format": lists["response_format"].choose(_text_in(saved.response_format, "format")),
    }


def connection_field_lists(saved: Connection | None) -> dict[str, FieldList]:
    """Return the lists for the form of a connection, by field; None for a new one. Of variants, the saved one."""
    lists = _connection_documents()
    if saved is None:
        return lists
    settings = lists["settings"].choose(saved.connector)
    page = _SETTINGS_PAGES.get(saved.connector, settings.page)
    return {
        "authentication": lists["authentication"].choose(_text_in(saved.authentication, "scheme")),
        "settings": FieldList(page, sections=settings.sections, variants=settings.variants),
    }


def route_field_lists() -> dict[str, FieldList]:
    """Return the lists for the form of a route, by field."""
    setting = ROUTE_SETTINGS["deactivation"]
    return {
        "deactivation": FieldList(
            "route", sections=(Section("", setting.meaning, (), example=setting.example),)
        )
    }


@cache
def mapping_field_list() -> FieldList:
    """Return the list for the editor of a mapping."""
    return FieldList("mapping", sections=tuple(describe_object(MAPPING, "")))


@cache
def _source_documents() -> dict[str, FieldList]:
    common, variants = group_variants(describe_variants(RESPONSE_FORMAT))
    _none, schemes = group_variants(describe_schemes())
    handshake = tuple(describe_object(HANDSHAKE, SOURCE_SETTINGS["handshake"].meaning))
    webhook_format = tuple(describe_object(WEBHOOK_FORMAT, SOURCE_SETTINGS["webhook_format"].meaning))
    return {
        "scheme_settings": FieldList("verification", variants=schemes),
        "handshake": FieldList("source", "handshake", handshake),
        "webhook_format": FieldList("webhook-format", "", webhook_format),
        "response_format": FieldList("source", "response_format", common, variants),
    }


@cache
def _connection_documents() -> dict[str, FieldList]:
    common, variants = group_variants(describe_variants(AUTHENTICATION))
    settings = {
        name: tuple(describe_object(kind, f"{CONNECTORS[name]}."))
        for name, kind in SETTINGS_KINDS.items()
        if isinstance(kind, Object)
    }
    return {
        "authentication": FieldList("authentication", "", common, variants),
        "settings": FieldList("target-connection", variants=settings),
    }


def _text_in(document: Any, name: str) -> Any:
    return document.get(name) if isinstance(document, dict) else None
