"""The reason that failures share: without a value of any person, and different for different causes.

Holds what no other test does: what of a system's sentence counts when failures are grouped.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contracts.types import FieldError
from sync.planning.failure_reasons import MAX_REASON_LENGTH, fold_values, reason_of_failure
from tests.support.rows import each_row

pytestmark = pytest.mark.pure
SENT = ("anna.virtanen@example.com", "Anna", "Virtanen", "+358 40 123 4567", "Mannerheimintie")
NAMES = {"email", "postal_code"}


@each_row(
    [
        ("anna.virtanen@example.com is taken", "… is taken"),
        ("The address 'someone.else@example.org' is taken.", "The address … is taken."),
        ("Customer “Matti Meikäläinen” exists", "Customer … exists"),
        ("«Matti» est déjà inscrit", "… est déjà inscrit"),
        ("Customer 4711 already has order 12.50 EUR", "Customer … already has order … EUR"),
        ("Record 0190c6de-1a2b-7000-8000-0123456789ab is locked", "Record … is locked"),
        ("Anna Virtanen is a customer already", "… is a customer already"),
        ("ANNA lives in mannerheimintie", "… lives in …"),
        ("Annabel is not Anna", "Annabel is not …"),
        ("call +358 40 123 4567, or 040-1234567", "call …, or …"),
        ('"email" can\'t be "anna"', '"email" can\'t be …'),
        ("see https://shop.test/help/x?id=anna for more", "see … for more"),
        ("on 2026-03-04T12:00:00Z at 10.0.0.1", "on … at …"),
        ("a\n  b\tc", "a b c"),
    ]
)
def test_values_are_folded_and_the_words_around_them_stay(sentence, folded):
    assert fold_values(sentence, SENT, NAMES) == folded


@pytest.mark.submission
@given(st.text(max_size=3_000), st.lists(st.text(max_size=20), max_size=5))
def test_a_folded_sentence_is_short_and_has_no_number(sentence, values):
    folded = fold_values(sentence, values)
    assert len(folded) <= MAX_REASON_LENGTH
    assert not any(character.isdecimal() for character in folded)


def test_the_systems_own_code_counts_and_not_its_words():
    taken = reason_of_failure(None, [FieldError("email", "duplicate", "a@b.test is taken")])
    assert taken == reason_of_failure("Sorry!", [FieldError("email", "duplicate", "Varattu jo")])
    assert taken != reason_of_failure(None, [FieldError("email", "invalid", "a@b.test is taken")])
    assert taken != reason_of_failure(None, [FieldError("phone", "duplicate", "a@b.test is taken")])


def test_without_a_code_the_sentence_counts_without_its_values():
    taken = reason_of_failure("anna@example.com is taken", [])
    assert taken == reason_of_failure("bo@example.com is taken", [])
    assert taken != reason_of_failure("The postal code is missing", [])
    assert reason_of_failure(None, []) == ""
    wrong = reason_of_failure(None, [FieldError("emails.2.value", "", "'x' is wrong")])
    assert wrong == reason_of_failure(None, [FieldError("emails.3.value", "", "'y' is wrong")])


def test_the_order_and_number_of_field_errors_are_bounded():
    one, two = FieldError("a", "x", ""), FieldError("b", "y", "")
    assert reason_of_failure(None, [one, two]) == reason_of_failure(None, [two, one])
    many = [FieldError("f" * 500, "c" * 500, "")] * 1_000
    assert len(reason_of_failure(None, many)) <= 11 * MAX_REASON_LENGTH
