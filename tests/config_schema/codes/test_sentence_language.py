"""Is a system's sentence in the language of the answer?

Holds what no other test does: what decides between a sentence as it is and a quotation after ours.
"""

import pytest

from config_schema.codes.sentence_language import is_in_language
from tests.support.rows import each_row

pytestmark = pytest.mark.pure


@each_row(
    [
        ("This e-mail address already belongs to another customer.", "en", "", True),
        ("This e-mail address already belongs to another customer.", "fi", "", False),
        ("Osoite on jo käytössä.", "fi", "", True),
        ("Osoite on jo käytössä.", "en", "", False),
        ("Sähköpostiosoite on varattu", "en", "", False),
        ("E-postadressen är redan upptagen.", "en", "", False),
        ("E-postadressen är redan upptagen.", "fi", "", False),
        ("Diese Adresse ist bereits vergeben.", "en", "", False),
        ("Cette adresse existe déjà.", "en", "", False),
        ("Duplicate", "en", "", True),
        ("Duplicate", "fi", "", False),
        ("重複しています", "en", "", False),
        ("422", "en", "", True),
        # What the system states wins over its words.
        ("Osoite on jo käytössä.", "en", "en-GB", True),
        ("Duplicate", "fi", "fi-FI, en", True),
        ("The address is taken.", "en", "sv", False),
    ]
)
def test_the_language_of_a_sentence_is_the_one_it_states_or_its_words_have(sentence, language, stated, is_in):
    assert is_in_language(sentence, language, stated) is is_in
