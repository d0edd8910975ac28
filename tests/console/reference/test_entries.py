"""Every setting that a reader accepts has an entry, and each example is accepted."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from django.db import models

from config_schema.errors import SettingsInvalid
from config_schema.kinds import ValueKind
from config_schema.model_fields import FieldSetting
from config_schema.objects import ListOf, MapOf, Object, VariantObject
from connectors.registry import SETTINGS_KINDS
from connectors.settings.authentication import AUTHENTICATION, SCHEMES
from connectors.settings.credentials import CREDENTIALS
from console.reference.json_schemas import DOCUMENTS
from console.reference.pages import PAGES
from console.ui.setting_entries import SettingSection, setting_fields
from sync.models import CONNECTION_SETTINGS, ROUTE_SETTINGS, Connection, Route
from sync.planning.mapping import ParsedMapping
from sync.planning.mapping_functions import FUNCTIONS
from webhooks.models import SOURCE_SETTINGS, Source

pytestmark = pytest.mark.pure

MODELS: list[tuple[type[models.Model], Mapping[str, FieldSetting]]] = [
    (Source, SOURCE_SETTINGS),
    (Connection, CONNECTION_SETTINGS),
    (Route, ROUTE_SETTINGS),
]
OBJECTS = {
    "identity-connection": SETTINGS_KINDS["rest-identity"],
    "target-connection": SETTINGS_KINDS["rest-target"],
    "mapping": ParsedMapping.kind,
}


def objects_in(kind: ValueKind[Any], place: str = "") -> Iterator[tuple[str, Object[Any]]]:
    """Yield each object in a kind with its place, as the reference names it."""
    if isinstance(kind, MapOf):
        yield from objects_in(kind.values, f"{place}.{kind.placeholder}".lstrip("."))
    elif isinstance(kind, ListOf):
        yield from objects_in(kind.items, f"{place}[]")
    elif isinstance(kind, Object):
        yield place, kind
        for setting in kind.settings:
            yield from objects_in(setting.kind, f"{place}.{setting.name}".lstrip("."))


UNIVERSE = {
    setting.name
    for kind in OBJECTS.values()
    for _place, part in objects_in(kind)
    for setting in part.settings
}


def accepted_names(kind: ValueKind[Any]) -> set[str]:
    """Return the names that the reader of an object does not call unknown."""
    names = set()
    for name in UNIVERSE:
        try:
            kind.read({name: None}, ())
        except SettingsInvalid as invalid:
            if invalid.sentence.startswith("Unknown field"):
                continue
        names.add(name)
    return names


def undescribed(kind: ValueKind[Any], sections: list[SettingSection]) -> set[tuple[str, str]]:
    """Return the settings, with their place, that a reader accepts and no section has."""
    described = {(section.place, entry.name) for section in sections for entry in section.entries}
    accepted = {(place, name) for place, part in objects_in(kind) for name in accepted_names(part)}
    return accepted - described


@pytest.mark.parametrize("name", OBJECTS)
def test_every_setting_that_a_reader_accepts_has_an_entry_and_the_example_is_accepted(name: str) -> None:
    assert accepted_names(OBJECTS[name])
    page = PAGES[name]()
    assert undescribed(OBJECTS[name], list(page.sections)) == set()
    OBJECTS[name].read(page.example, ())


@pytest.mark.parametrize(("model", "settings"), MODELS)
def test_every_field_that_a_form_asks_for_has_an_entry_and_its_example_is_accepted(
    model: type[models.Model], settings: Mapping[str, FieldSetting]
) -> None:
    assert {field.name for field in setting_fields(model)} == set(settings)
    for field in setting_fields(model):
        if not isinstance(field, models.ForeignKey):
            field.clean(settings[field.name].example, None)
            assert settings[field.name].accepts(settings[field.name].example)


def test_every_example_is_accepted() -> None:
    for _schema, kind in DOCUMENTS.values():
        parts = [part.settings for _place, part in objects_in(kind)]
        if isinstance(kind, VariantObject):
            parts = [kind.settings_of(variant) for variant in kind.variants]
        for setting in (setting for settings in parts for setting in settings):
            setting.kind.read(setting.example, ())
    for section in PAGES["authentication"]().sections:
        if section.title:
            AUTHENTICATION.read(section.example, ())


def test_every_credential_and_function_is_listed() -> None:
    assert [name for name, _ in PAGES["authentication"]().words] == list(CREDENTIALS)
    assert {name for names in SCHEMES.values() for name in names} == set(CREDENTIALS)
    assert {name for name, _ in PAGES["mapping"]().words} == set(FUNCTIONS)
