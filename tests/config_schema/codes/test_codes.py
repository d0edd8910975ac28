"""The catalogue of codes: complete in both languages, in a consistent style."""

import ast
import re
from pathlib import Path

import pytest

from config_schema.codes.codes import _REQUEST, CATALOGUE, LANGUAGES, choose_language, code_texts
from config_schema.codes.messages import load_texts
from tests.support.rows import each_row
from webhooks.protocol import strict_json, webhook_parser

pytestmark = pytest.mark.pure


@each_row(LANGUAGES)
def test_each_language_has_texts_for_exactly_the_codes_of_the_catalogue(language):
    assert set(load_texts(language)) == set(CATALOGUE)


def test_the_name_of_the_connection_is_inserted_unchanged():
    assert (
        code_texts("target-rejected", "en", connection="The {shop}").title == "The {shop} rejected the change"
    )
    assert code_texts("target-rejected", "en").title == "The target system rejected the change"
    assert code_texts("identity-timeout", "fi").title.startswith("Identiteettipalvelu ")


def test_retryable_failures_are_never_the_fault_of_the_data():
    assert {entry.status for entry in CATALOGUE.values() if entry.retryable} == {424, 429, 500, 503}
    assert all(
        not entry.retryable for entry in CATALOGUE.values() if entry.status in {200, 202, 400, 401, 422}
    )


@each_row(["unavailable", "timeout", "throttled", "credentials", "garbled", "rejected"])
def test_each_side_has_each_kind_of_failure(kind):
    for side in ("identity", "target"):
        assert CATALOGUE[f"{side}-{kind}"].status == (422 if (side, kind) == ("target", "rejected") else 424)
        assert CATALOGUE[f"{side}-unsafe-id"].status == 422


@each_row([webhook_parser, strict_json])
def test_the_gate_uses_only_codes_of_the_catalogue(module):
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    raised = {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "MalformedBody"
        and isinstance(call.args[0], ast.Constant)
    }
    assert raised
    assert raised <= set(CATALOGUE)


@each_row(
    [
        (None, "en"),
        ("FI-fi", "fi"),
        ("sv", "en"),
        ("*", "en"),
        ("fil", "en"),
        ("sv, fi;q=0.1", "fi"),
        ("en;q=0.4, fi;q=0.5", "fi"),
        ("fi, en", "fi"),
        ("fi;q=0", "en"),
        ("fi;q=0, en;q=0", "en"),
        ("fi;q=2", "en"),
        ("fi;q=nan", "en"),
        ("fi ; q=0.3 , en ; q=0.2", "fi"),
        (";;;,,,=q", "en"),
        ("fi;q=.", "en"),
        ("x" * 100_000 + ",fi", "en"),
    ]
)
def test_the_best_available_language_is_chosen(header, language):
    assert choose_language(header) == language


def test_a_replay_is_offered_if_it_can_succeed_without_action():
    offered = {code: (CATALOGUE[code].replay_helps, CATALOGUE[code].is_worth_a_replay) for code in CATALOGUE}
    assert offered["target-unavailable"] == (True, True)
    assert offered["target-credentials"] == (True, False)
    assert offered["target-rejected"] == (False, False)


@each_row(LANGUAGES)
def test_a_refused_request_says_what_to_do_and_nothing_of_a_replay(language):
    # Nothing was stored, so there is nothing to replay.
    refused = [code for code in CATALOGUE if code in _REQUEST]
    assert len(refused) > 30
    for code in refused:
        step = CATALOGUE[code].texts[language].next_step.casefold()
        assert step
        assert "replay" not in step
        assert "uusinta" not in step


@each_row(LANGUAGES)
def test_every_failure_of_a_delivery_has_a_text_of_its_own_for_the_person_who_waits(language):
    failures = [
        code for code, entry in CATALOGUE.items() if entry.status in (409, 422, 424) and code not in _REQUEST
    ]
    for code in set(failures) - {"entity-too-large"}:
        texts = CATALOGUE[code].texts[language]
        assert texts.person not in ("", texts.detail), code
        assert not re.search("replay|administrator|mapping|ylläpitäjä|muunnos", texts.person.casefold()), code


def test_a_required_field_that_found_nothing_needs_action_from_the_administrator():
    assert CATALOGUE["unmappable"].owner == "hub"
    assert "An administrator must correct" in CATALOGUE["unmappable"].texts["en"].next_step
    # A webhook without the data that its route uses is the sender's.
    assert CATALOGUE["missing-data"].owner == "identity"
