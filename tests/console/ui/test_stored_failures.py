"""A failure that a worker stored in English is shown in the language of the reader."""

import pytest

from config_schema.translatable import decode_text, encode_text, translatable, translatable_plural
from console.ui.stored_failures import translate_failure
from console.ui.translation import translate_text
from sync.jobs.claims import DIED_MESSAGE
from tests.support.translation.catalogue_texts import bracketed_language, needs_gettext

pytestmark = [pytest.mark.pure, needs_gettext]


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        (
            str(DIED_MESSAGE),
            "[[The background job crashed 3 times and made no progress. It is not tried again by itself.]]",
        ),
        ("the alarm webhook responded with 503", "[[[[the alarm webhook]] responded with 503]]"),
        ("the alarm webhook failed: no connection", "[[[[the alarm webhook]] failed: [[no connection]]]]"),
        (
            "the mail server did not accept it: SMTPException",
            "[[the mail server did not accept it: SMTPException]]",
        ),
        ("An unknown sentence.", "An unknown sentence."),
        ("the alarm webhook re", "the alarm webhook re"),
        ("", ""),
    ],
)
def test_a_stored_failure_is_translated_with_its_values(sentence: str, shown: str) -> None:
    assert translate_failure(sentence) == sentence
    with bracketed_language():
        assert translate_failure(sentence) == shown


def test_a_message_that_repeats_a_template_is_shown_unchanged() -> None:
    assert translate_failure("failed: " * 40) == "failed: " * 40


@pytest.mark.submission
def test_a_stored_text_is_read_as_it_was() -> None:
    for text in (
        translatable("%(place)s: %(sentence)s", place="/a", sentence=translatable("This must be a text.")),
        translatable("100 %"),
        translatable_plural("%(number)s row", "%(number)s rows", 3),
    ):
        loaded = decode_text(encode_text(text))
        assert loaded == text
        with bracketed_language():
            assert translate_text(loaded) == translate_text(text)
