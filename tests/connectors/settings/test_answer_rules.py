"""The setting of ordered rules, what it refuses, and what the rules say of responses."""

import json
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from config_schema.codes.messages import Language
from config_schema.declared import Declared, nullable
from config_schema.errors import SettingsInvalid
from config_schema.objects import Object
from connectors.settings.answer_rules import (
    MAX_RULES,
    MAX_STATUSES,
    rule_list,
)
from connectors.settings.identity import IDENTITY_SETTINGS
from connectors.settings.target import TARGET_SETTINGS
from connectors.values.answer_meaning import MAX_TEXT_BYTES, STATED_MEANINGS, Meaning, find_meaning
from connectors.values.json_responses import ExpressionOverBudget
from tests.support.http.connectors import make_operations

pytestmark = pytest.mark.pure

RULES = rule_list(STATED_MEANINGS)


class Answers(Declared):
    """An object with such rules."""

    answers: Any = nullable(RULES, "What responses mean.", example=[{"status": 403, "means": "absent"}])
    absences: Any = nullable(rule_list([Meaning.ABSENT]), "What means an absent record.", example=[])


SCHEMA = Draft202012Validator(Answers.kind.to_schema())


def find(rules: list[dict[str, Any]], status: int, body: bytes = b"{}", **headers: str) -> str | None:
    SCHEMA.validate({"answers": rules})
    return find_meaning(Answers.kind.read({"answers": rules}, ()).answers, status, headers, body)


def test_the_first_rule_that_fits_decides() -> None:
    rules = [
        {"status": 403, "when": "body.code == 'absent'", "means": "absent"},
        {"status": [401, 403], "means": "credentials"},
        {"status": "5xx", "when": "body.code == 'taken'", "means": "exists"},
    ]
    assert find(rules, 403, b'{"code":"absent"}') == "absent"
    assert find(rules, 403, b'{"code":"other"}') == "credentials"
    assert find(rules, 401, b"") == "credentials"
    assert find(rules, 502, b'{"code":"taken"}') == "exists"
    assert find(rules, 502, b'{"code":"down"}') is None
    assert find(rules, 404) is None
    assert find_meaning((), 404, {}, b"{}") is None


def test_a_condition_alone_is_about_every_status() -> None:
    rules = [{"when": "body.errors[0].extensions.code == 'FORBIDDEN'", "means": "credentials"}]
    body = b'{"errors":[{"extensions":{"code":"FORBIDDEN"}}],"data":null}'
    assert find(rules, 200, body) == find(rules, 400, body) == "credentials"
    assert find(rules, 200, b'{"data":{}}') is None


def test_an_empty_body_is_null_and_one_that_is_not_json_is_a_text() -> None:
    rules = [
        {"status": 200, "when": "body == `null`", "means": "absent"},
        {"status": 200, "when": "contains(body, 'maintenance')", "means": "unavailable"},
        {"status": 200, "when": "body.state == 'closed'", "means": "refused"},
    ]
    assert find(rules, 200, b"  ") == "absent"
    assert find(rules, 200, b"null") == "absent"
    assert find(rules, 200, b"<html>") is None
    assert find(rules, 200, b"<h1>maintenance") == "unavailable"
    assert find(rules, 200, b"x" * MAX_TEXT_BYTES + b"maintenance") is None
    assert find(rules, 200, b'{"state":"closed"}') == "refused"
    assert find([{"status": 204, "means": "absent"}], 204, b"") == "absent"


def test_reader_and_schema_refuse_what_is_wrong() -> None:
    cases: list[Any] = [
        [],
        {},
        [{}],
        [{"status": 403}],
        [{"status": 403, "means": "unknown"}],
        [{"status": 100, "means": "done"}],
        [{"status": 600, "means": "done"}],
        [{"status": "6xx", "means": "absent"}],
        [{"status": True, "means": "absent"}],
        [{"status": [], "means": "absent"}],
        [{"status": [404] * (MAX_STATUSES + 1), "means": "absent"}],
        [{"status": 403, "when": "", "means": "absent"}],
        [{"status": 403, "means": "absent", "code": "x"}],
        [{"status": 403, "means": "absent"}] * (MAX_RULES + 1),
        # These would take every success for a failure.
        [{"status": 200, "means": "absent"}],
        # And these every failure for a success.
        [{"status": 404, "means": "done"}],
        [{"status": [200, "5xx"], "means": "done"}],
        [{"status": "2xx", "means": "refused"}],
        [{"status": [404, 201], "means": "absent"}],
        [{"status": [404, "2xx"], "means": "absent"}],
    ]
    for rules in cases:
        with pytest.raises(SettingsInvalid):
            Answers.kind.read({"answers": rules}, ())
        assert not SCHEMA.is_valid({"answers": rules})


def test_done_may_be_the_meaning_of_a_status_that_is_no_error() -> None:
    assert find([{"status": [200, 204], "means": "done"}], 200) == "done"
    assert find([{"status": 404, "when": "body.deleted", "means": "done"}], 404, b'{"deleted":1}') == "done"


def test_a_condition_may_read_status_and_headers_too() -> None:
    rules = [{"when": "status == `429` && headers.limit == 'day'", "means": "unavailable"}]
    assert find(rules, 429, limit="day") == "unavailable"
    assert find(rules, 429, limit="minute") is None
    assert find(rules, 200, limit="day") is None


def test_all_conditions_over_one_response_share_a_budget() -> None:
    costly = "length(body[?@ == `1`]) > `0`"
    body = json.dumps([0] * 2000).encode()
    assert find([{"when": costly, "means": "refused"}], 200, body) is None
    with pytest.raises(ExpressionOverBudget):
        find([{"when": costly, "means": "refused"}] * MAX_RULES, 200, body)


def test_rules_are_written_as_they_were_given() -> None:
    rules = [
        {"status": [404, "5xx"], "when": "body.gone", "means": "absent"},
        {"when": "body.ok", "means": "done"},
    ]
    assert RULES.to_json(Answers.kind.read({"answers": rules}, ()).answers) == rules


def test_only_the_named_meanings_are_accepted() -> None:
    assert Answers.kind.read({}, ()).absences is None
    with pytest.raises(SettingsInvalid) as caught:
        Answers.kind.read({"absences": [{"status": 409, "means": "exists"}]}, ())
    assert caught.value.place == ("absences", 0, "means")


@pytest.mark.parametrize("settings", [IDENTITY_SETTINGS, TARGET_SETTINGS])
def test_a_condition_among_the_error_texts_is_refused_with_the_rule_to_write(settings: Object[Any]) -> None:
    entity = {"path": "/u/{id}"} if settings is IDENTITY_SETTINGS else make_operations("/u")
    document = {"entities": {"USER": entity}}
    with pytest.raises(SettingsInvalid) as caught:
        settings.read(document | {"error": {"sentence": "message", "when": "error"}}, ())
    assert caught.value.pointer == "/error/when"
    assert "a rule of “answers” instead" in caught.value.sentence


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ({"says": "Taken."}, None),
        ({"says": {"en": "Taken.", "fi": "Varattu."}}, None),
        ({"says": {"en": "Taken."}}, "says"),
        ({"says": {"en": "Taken.", "fi": " "}}, "says/fi"),
        ({"says": "x" * 301}, "says"),
        ({"says": "two\nlines"}, "says"),
        ({"says": "Gone.", "means": "absent"}, "says"),
    ],
)
def test_a_sentence_of_ours_is_for_rejections_and_for_all_languages(
    rule: dict[str, Any], place: str | None
) -> None:
    document = {
        "entities": {"USER": make_operations("/u")},
        "answers": [{"status": 409, "means": "refused"} | rule],
    }
    if place is None:
        read = TARGET_SETTINGS.read(document, ())
        [said] = [one.says for one in read.answers]
        assert set(said or {}) == set(get_args(Language))
        assert TARGET_SETTINGS.to_json(read)["answers"][0]["says"] == rule["says"]
        return
    with pytest.raises(SettingsInvalid) as caught:
        TARGET_SETTINGS.read(document, ())
    assert caught.value.pointer == f"/answers/0/{place}"
