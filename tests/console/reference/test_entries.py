"""Every setting that a reader accepts has an entry, and each example is accepted."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from django.db import models

from config_schema.errors import SettingsInvalid
from config_schema.kinds import ValueKind
from config_schema.model_fields import FieldSetting
from config_schema.objects import ListOf, MapOf, Object, VariantObject
from console.reference.json_schemas import DOCUMENTS
from console.reference.pages import PAGES
from console.ui import setting_entries
from console.ui.setting_entries import SettingSection, describe_object, setting_fields
from sync.connectors.registry import SETTINGS_KINDS
from sync.connectors.settings.authentication import AUTHENTICATION, CREDENTIALS, SCHEMES
from sync.models import CONNECTION_SETTINGS, ROUTE_SETTINGS, Connection, Route
from sync.planning.mapping import FUNCTIONS
from sync.planning.mapping_declaration import MAPPING
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
    "mapping": MAPPING,
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
def test_every_setting_that_a_reader_accepts_has_an_entry(name: str) -> None:
    assert accepted_names(OBJECTS[name])
    assert undescribed(OBJECTS[name], list(PAGES[name]().sections)) == set()


@pytest.mark.parametrize("name", OBJECTS)
def test_a_variant_that_leaves_a_setting_out_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = setting_entries._describe_settings
    monkeypatch.setattr(
        setting_entries, "_describe_settings", lambda settings, place: whole(settings, place)[:-1]
    )
    assert undescribed(OBJECTS[name], list(PAGES[name]().sections))


def test_a_variant_whose_reader_accepts_more_is_caught() -> None:
    class Lenient(Object[Any]):
        def read(self, value: Any, place: Any) -> Any:
            return super().read({name: item for name, item in value.items() if name != "wrap"}, place)

    lenient = Lenient(MAPPING.settings, MAPPING.build)
    assert undescribed(lenient, list(describe_object(MAPPING, ""))) == {("", "wrap")}


@pytest.mark.parametrize(("model", "settings"), MODELS)
def test_every_field_that_a_form_asks_for_has_an_entry(
    model: type[models.Model], settings: Mapping[str, FieldSetting]
) -> None:
    assert {field.name for field in setting_fields(model)} == set(settings)


def test_a_variant_without_the_description_of_a_field_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ROUTE_SETTINGS, "max_attempts")  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        PAGES["route"]()


@pytest.mark.parametrize("name", PAGES)
def test_every_entry_says_what_it_is_about(name: str) -> None:
    page = PAGES[name]()
    listed = [*page.fields, *(entry for section in page.sections for entry in section.entries)]
    assert listed or page.words
    for entry in listed:
        assert entry.meaning.endswith("."), entry.name
        assert entry.kind, entry.name


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_example_is_accepted(name: str) -> None:
    kind = DOCUMENTS[name][1]
    parts = [part.settings for _place, part in objects_in(kind)]
    if isinstance(kind, VariantObject):
        parts = [kind.settings_of(variant) for variant in kind.variants]
    for settings in parts:
        for setting in settings:
            setting.kind.read(setting.example, ())


@pytest.mark.parametrize("name", OBJECTS)
def test_the_example_of_a_page_is_accepted(name: str) -> None:
    OBJECTS[name].read(PAGES[name]().example, ())


@pytest.mark.parametrize(
    "section",
    [section for section in PAGES["authentication"]().sections if section.title],
    ids=lambda section: section.title,
)
def test_the_example_of_each_authentication_is_accepted(section: SettingSection) -> None:
    AUTHENTICATION.read(section.example, ())


def test_every_credential_and_function_is_listed() -> None:
    assert [name for name, _ in PAGES["authentication"]().words] == list(CREDENTIALS)
    assert {name for names in SCHEMES.values() for name in names} == set(CREDENTIALS)
    assert {name for name, _ in PAGES["mapping"]().words} == set(FUNCTIONS)


@pytest.mark.parametrize(("model", "settings"), MODELS)
def test_the_example_of_a_field_is_accepted(
    model: type[models.Model], settings: Mapping[str, FieldSetting]
) -> None:
    for field in setting_fields(model):
        if not isinstance(field, models.ForeignKey):
            field.clean(settings[field.name].example, None)
            assert settings[field.name].accepts(settings[field.name].example)
