"""The texts of the catalogue of codes in the languages that it has."""

import pytest
from django.utils import translation

from config_schema.codes.codes import code_texts
from console.ui import outcome_texts

pytestmark = pytest.mark.pure


def test_a_reader_of_finnish_reads_the_catalogue_in_finnish() -> None:
    with translation.override("fi"):
        assert outcome_texts.describe_code("target-timeout", "Kauppa") == code_texts(
            "target-timeout", "fi", connection="Kauppa"
        )
    with translation.override("sv"):
        assert outcome_texts.describe_code("target-timeout", "Butik") == code_texts(
            "target-timeout", "en", connection="Butik"
        )
