"""The fields of the JSON documents that the forms of settings ask for."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from config_schema.objects import Object, VariantObject
from config_schema.translatable import translatable
from connectors.registry import CONNECTORS, SETTINGS_KINDS
from connectors.settings.authentication import AUTHENTICATION
from console.ui.setting_entries import (
    FieldList,
    SettingSection,
    describe_object,
    describe_variants,
    group_variants,
)
from console.ui.translation import translate_text
from sync.models import ROUTE_SETTINGS
from sync.planning.mapping import ParsedMapping
from webhooks.models import SOURCE_SETTINGS
from webhooks.protocol.formats.webhook_format import WebhookFormat
from webhooks.protocol.handshake import HANDSHAKE
from webhooks.protocol.schemes import SCHEMES, VerificationScheme
from webhooks.responses.response_format import RESPONSE_FORMAT

# By the name of the connector: the page of the reference.
_SETTINGS_PAGES = {"rest-identity": "identity-connection", "rest-target": "target-connection"}


def describe_schemes() -> tuple[SettingSection, ...]:
    """Return a section for each scheme of verification."""
    return tuple(_describe_scheme(name, scheme) for name, scheme in SCHEMES.items())


def _describe_scheme(name: str, scheme: VerificationScheme) -> SettingSection:
    secret = (_("Secret: %(form)s") % {"form": translate_text(scheme.secret)},) if scheme.secret else ()
    section = next(describe_object(scheme.schema, scheme.meaning))
    return replace(section, rules=(*section.rules, *secret), example=scheme.example, title=name)


def source_field_lists() -> Mapping[str, FieldList]:
    return _source_documents(get_language())


def connection_field_lists() -> Mapping[str, FieldList]:
    return _connection_documents(get_language())


def route_field_lists() -> dict[str, FieldList]:
    return {name: _list_of_setting(name) for name in ("deactivation", "reactivation")}


def _list_of_setting(name: str) -> FieldList:
    setting = ROUTE_SETTINGS[name]
    section = SettingSection("", translate_text(setting.meaning), (), example=setting.example)
    return FieldList("route", sections=(section,))


def mapping_field_list() -> FieldList:
    return _mapping_document(get_language())


# The texts are in the active language, so each list is cached by it.
@cache
def _mapping_document(language: str | None) -> FieldList:
    return FieldList("mapping", sections=tuple(describe_object(ParsedMapping.kind, "")), has_expressions=True)


@cache
def _source_documents(language: str | None) -> dict[str, FieldList]:
    common, variants = group_variants(describe_variants(RESPONSE_FORMAT))
    _none, schemes = group_variants(describe_schemes())
    common_handshake, handshakes = group_variants(describe_variants(HANDSHAKE))
    webhook_format = tuple(describe_object(WebhookFormat.kind, SOURCE_SETTINGS["webhook_format"].meaning))
    return {
        "scheme_settings": FieldList("verification", variants=schemes, control="scheme"),
        "handshake": replace(
            _list_of_variants("source", "handshake", HANDSHAKE, common_handshake, handshakes, "handshake"),
            has_expressions=True,
        ),
        "webhook_format": FieldList("webhook-format", "", webhook_format, has_expressions=True),
        "response_format": replace(
            _list_of_variants(
                "source", "response_format", RESPONSE_FORMAT, common, variants, "response_format"
            ),
            has_expressions=True,
        ),
    }


@cache
def _connection_documents(language: str | None) -> dict[str, FieldList]:
    common, variants = group_variants(describe_variants(AUTHENTICATION))
    settings = {
        name: tuple(describe_object(kind, translatable("%(label)s.", label=CONNECTORS[name])))
        for name, kind in SETTINGS_KINDS.items()
        if isinstance(kind, Object)
    }
    return {
        "authentication": _list_of_variants(
            "authentication", "", AUTHENTICATION, common, variants, "authentication"
        ),
        "settings": FieldList(
            "target-connection",
            variants=settings,
            control="connector",
            pages=_SETTINGS_PAGES,
            has_expressions=True,
        ),
    }


def _list_of_variants(
    page: str,
    anchor: str,
    kind: VariantObject[Any],
    common: tuple[SettingSection, ...],
    variants: Mapping[str, tuple[SettingSection, ...]],
    control: str,
) -> FieldList:
    """Return the list of a document whose own selector decides which fields it has."""
    selector = kind.selector
    return FieldList(page, anchor, common, variants, control, selector.name, str(selector.default or ""))
