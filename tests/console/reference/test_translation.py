"""Texts of settings are translated with their parameters, when they are shown."""

import pytest

from config_schema.errors import SettingsInvalid
from config_schema.kinds import WholeNumber
from config_schema.objects import MapOf
from config_schema.translatable import translatable, translatable_plural
from console.ui.translation import translate_text

pytestmark = pytest.mark.pure


def test_parameters_are_filled_into_the_translation_and_marked_ones_are_translated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = MapOf(WholeNumber(1, 2), "NAME", 1, 20)
    with pytest.raises(SettingsInvalid) as raised:
        kind.read({}, ())
    monkeypatch.setattr("console.ui.translation.gettext", "[{}]".format)
    assert translate_text(raised.value.sentence) == "[This must have [1 to 20 [names]].]"
    assert translate_text(translatable("no such text at 100 %")) == "[no such text at 100 %]"
    assert translate_text("") == ""
    assert str(raised.value) == "/: This must have 1 to 20 names."


@pytest.mark.parametrize(("number", "text"), [(1, "1 row"), (0, "0 rows"), (1200, "1,200 rows")])
def test_a_text_with_a_number_has_the_form_of_the_number(number: int, text: str) -> None:
    counted = translatable_plural("%(number)s row", "%(number)s rows", number)
    assert counted == translate_text(counted) == text
