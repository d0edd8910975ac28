"""Every text of the reference and of settings is marked for translation, and shown in the language of the reader."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.forms import modelform_factory
from django.forms.utils import ErrorDict

from config_schema.errors import SettingsInvalid
from config_schema.kinds import WholeNumber
from config_schema.objects import MapOf
from config_schema.translatable import translatable, translatable_plural
from console.reference.pages import PAGES, ReferencePage
from console.reference.preset_catalogue import list_entries
from console.settings.field_lists import connection_field_lists, mapping_field_list, source_field_lists
from console.settings.preset_choice import preset_context
from console.settings.sources.forms import SourceForm
from console.ui import setting_entries
from console.ui.setting_entries import SettingSection
from console.ui.translation import translate_text
from sync.connectors.presets import PRESETS
from sync.connectors.registry import CONNECTORS
from tests.support.translation.catalogue_texts import (
    BRACKETS,
    bracketed_language,
    find_unmarked,
    needs_gettext,
    read_catalogue,
)
from webhooks.models import Source
from webhooks.protocol.schemes import SCHEMES

pytestmark = [pytest.mark.pure, needs_gettext]

FIELD_LISTS = {
    "source": source_field_lists,
    "connection": connection_field_lists,
    "mapping": lambda: {"declaration": mapping_field_list()},
}


def texts_of_sections(sections: tuple[SettingSection, ...]) -> Iterator[str]:
    for section in sections:
        yield from (section.meaning, *section.rules)
        for entry in section.entries:
            yield from (entry.kind, entry.limits, entry.meaning, *entry.rules)


def texts_of_page(page: ReferencePage) -> Iterator[str]:
    yield page.intro
    yield str(page.title)
    for entry in page.fields:
        yield from (entry.kind, entry.limits, entry.meaning, *entry.rules)
    yield from texts_of_sections(page.sections)


def unmarked(texts: Iterator[str]) -> list[str]:
    """Return the texts that are not in brackets as a whole."""
    return [text for text in texts if text and not BRACKETS.fullmatch(text)]


@pytest.mark.parametrize("name", PAGES)
def test_every_text_of_the_reference_is_translated(name: str) -> None:
    with bracketed_language():
        assert unmarked(texts_of_page(PAGES[name]())) == []


@pytest.mark.parametrize("name", FIELD_LISTS)
def test_the_field_list_of_a_form_is_translated_whatever_language_was_shown_before(name: str) -> None:
    english = FIELD_LISTS[name]()
    with bracketed_language():
        for field_list in FIELD_LISTS[name]().values():
            variants = [section for sections in field_list.variants.values() for section in sections]
            assert unmarked(texts_of_sections((*field_list.sections, *variants))) == []
    assert FIELD_LISTS[name]() == english


def test_a_variant_that_shows_the_description_itself_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting_entries, "translate_text", str)
    with bracketed_language():
        assert unmarked(texts_of_page(PAGES["mapping"]()))


@pytest.mark.parametrize("name", SCHEMES)
def test_the_label_of_a_verification_is_marked_and_translated(name: str) -> None:
    scheme = SCHEMES[name]
    assert list(find_unmarked(scheme.label, read_catalogue())) == []
    with bracketed_language():
        assert Source(scheme=name).get_scheme_display() == f"[[{scheme.label}]]"


@pytest.mark.parametrize("name", CONNECTORS)
def test_the_label_of_a_connector_is_marked(name: str) -> None:
    assert list(find_unmarked(CONNECTORS[name], read_catalogue())) == []


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"scheme": "hmac", "scheme_settings": {"signed": ["{time}"]}}, "scheme_settings"),
        ({"scheme": "none", "webhook_format": {"events": 1}}, "webhook_format"),
        ({"scheme": "none", "entity_fields": [1]}, "entity_fields"),
    ],
)
def test_a_form_shows_the_sentence_about_a_setting_in_the_language_of_the_reader(
    values: dict[str, Any], field: str
) -> None:
    form = modelform_factory(Source, form=SourceForm, fields=[field])({field: json.dumps(values[field])})
    form._errors, form.cleaned_data = ErrorDict(), {}
    with bracketed_language():
        with pytest.raises(ValidationError) as raised:
            Source(**values).clean()
        form.add_error(None, raised.value)
        sentences = form._errors[field]
        assert sentences
        assert all("[[" in sentence and sentence.endswith("]]") for sentence in sentences)


def test_parameters_are_filled_into_the_translation_and_marked_ones_are_translated() -> None:
    kind = MapOf(WholeNumber(1, 2), "NAME", 1, 20)
    with pytest.raises(SettingsInvalid) as raised:
        kind.read({}, ())
    with bracketed_language():
        assert translate_text(raised.value.sentence) == "[[This must have [[1 to 20 [[names]]]].]]"
        assert translate_text(translatable("no such text at 100 %")) == "no such text at 100 %"
        assert translate_text("") == ""
    assert str(raised.value) == "/: This must have 1 to 20 names."


@pytest.mark.parametrize(("number", "text"), [(1, "1 row"), (0, "0 rows"), (1200, "1,200 rows")])
def test_a_text_with_a_number_has_the_form_of_the_number(number: int, text: str) -> None:
    counted = translatable_plural("%(number)s row", "%(number)s rows", number)
    assert counted == translate_text(counted) == text


def test_names_and_needs_of_presets_are_translated_where_they_are_listed_and_chosen() -> None:
    with bracketed_language():
        for entry in list_entries():
            assert unmarked(iter((entry.metadata.label, *entry.metadata.needs))) == []
        chosen = preset_context({name: preset.metadata for name, preset in PRESETS.items()}, "okta-identity")
        assert unmarked(iter((chosen["chosen_preset"].label, *chosen["chosen_preset"].needs))) == []
        assert unmarked(label for _name, label in chosen["presets"]) == []
