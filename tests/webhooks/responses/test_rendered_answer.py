"""Each response format writes each outcome in the vendor's shape, within its limit."""

import json
from typing import Any

import pytest

from config_schema.codes.codes import CATALOGUE
from config_schema.errors import SettingsInvalid
from tests.support.rows import each_row
from webhooks.responses.rendered_answer import CannotRender, StandardAnswer, render_answer
from webhooks.responses.response_format import RESPONSE_FORMAT

pytestmark = pytest.mark.pure

LIMIT = 8_192
SUCCESS = StandardAnswer(200, "succeeded", {"status": "succeeded", "reference": "01K"})
ACCEPTED = StandardAnswer(202, "accepted", {"status": "accepted", "reference": "01K"})
DETAIL = "The shop refused the change: “é”."
REFUSED = StandardAnswer(
    422,
    "target-rejected",
    {
        "type": "/problems/target-rejected",
        "title": "Refused",
        "status": 422,
        "detail": DETAIL,
        "code": "target-rejected",
        "errors": [
            {"pointer": "/data/email", "field": "email", "code": "duplicate", "detail": "Already used."},
            {"pointer": "/data/a~1b", "code": "invalid"},
        ],
    },
)
UNAVAILABLE = StandardAnswer(
    503, "storage-unavailable", {"status": 503, "detail": DETAIL, "code": "storage-unavailable"}
)
NOT_JSON = StandardAnswer(400, "not-json", {"status": 400, "detail": DETAIL, "code": "not-json"})


def render(document: dict[str, Any], answer: StandardAnswer, limit: int = LIMIT) -> tuple[int, Any]:
    rendered = render_answer(RESPONSE_FORMAT.read(document, ()), answer, limit)
    assert len(rendered.body) <= limit
    return rendered.status, json.loads(rendered.body) if rendered.body else None


def test_kratos_shows_each_error_at_its_field_or_at_the_form() -> None:
    def shown(settings: dict[str, Any], answer: StandardAnswer) -> tuple[int, list[tuple[str, Any]]]:
        status, document = render({"format": "kratos", **settings}, answer)
        return status, [(part["instance_ptr"], *part["messages"]) for part in document["messages"]]

    def message(text: str, code: str) -> dict[str, Any]:
        return {"id": 4_000_000, "text": text, "type": "error", "context": {"code": code}}

    used, invalid = message("Already used.", "duplicate"), message(DETAIL, "invalid")
    assert shown({}, REFUSED) == (422, [("#/traits/email", used), ("#/traits/a/b", invalid)])
    _status, [first, _] = shown({"prefix": "#/traits/contact/"}, REFUSED)
    assert first == ("#/traits/contact/email", used)
    assert shown({}, UNAVAILABLE) == (503, [("#/", message(DETAIL, "storage-unavailable"))])


def test_okta_gets_a_failure_with_200() -> None:
    status, document = render({"format": "okta-inline"}, REFUSED)
    assert status == 200
    assert document["commands"] == [{"type": "com.okta.action.update", "value": {"registration": "DENY"}}]
    assert document["error"]["errorSummary"] == DETAIL
    assert document["error"]["errorCauses"][0] == {
        "errorSummary": "Already used.",
        "reason": "DUPLICATE",
        "locationType": "body",
        "location": "data.userProfile.email",
        "domain": "end-user",
    }
    status, document = render({"format": "okta-inline"}, UNAVAILABLE)
    assert (status, document["error"]["errorCauses"]) == (
        200,
        [{"errorSummary": DETAIL, "reason": "STORAGE_UNAVAILABLE", "domain": "end-user"}],
    )


@each_row([(REFUSED, 422), (UNAVAILABLE, 424), (NOT_JSON, 400)])
def test_zitadel_gets_a_failure_with_200_and_a_status_that_it_forwards(
    answer: StandardAnswer, forwarded: int
) -> None:
    assert render({"format": "zitadel"}, answer) == (
        200,
        {"forwardedStatusCode": forwarded, "forwardedErrorMessage": DETAIL},
    )


def test_scim_errors_are_those_of_rfc_7644() -> None:
    schemas = ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert render({"format": "scim"}, REFUSED) == (
        422,
        {"schemas": schemas, "status": "422", "detail": DETAIL, "scimType": "uniqueness"},
    )
    assert render({"format": "scim"}, NOT_JSON)[1]["scimType"] == "invalidSyntax"
    assert "scimType" not in render({"format": "scim"}, UNAVAILABLE)[1]
    assert RESPONSE_FORMAT.read({"format": "scim"}, ()).media_type == "application/scim+json"


@each_row(
    [
        ("kratos", 204, 204),
        ("okta-inline", 204, 204),
        ("zitadel", 200, 200),
        ("scim", 204, 202),
        ("empty", 200, 202),
    ]
)
def test_a_success_has_no_body(name: str, success: int, accepted: int) -> None:
    assert render({"format": name}, SUCCESS) == (success, None)
    assert render({"format": name}, ACCEPTED) == (accepted, None)
    assert render({"format": "empty"}, REFUSED) == (422, None)


CUSTOM = {
    "format": "custom",
    "answers": [
        {
            "codes": ["target-rejected"],
            "status": 200,
            "body": "{ok: `false`, why: detail, fields: errors[].field}",
        },
        {"states": ["failed"], "body": "{ok: `false`, code: code}"},
        {"states": ["accepted"], "status": 204, "body": "@"},
        {"states": ["ignored"]},
    ],
}


@each_row(
    [
        (REFUSED, 200, {"ok": False, "why": DETAIL, "fields": ["email"]}),
        (UNAVAILABLE, 503, {"ok": False, "code": "storage-unavailable"}),
        (ACCEPTED, 204, None),
        (StandardAnswer(200, "ignored", {"status": "ignored"}), 200, None),
        (SUCCESS, 200, {"status": "succeeded", "reference": "01K"}),
    ]
)
def test_a_custom_answer_is_the_first_that_fits(answer: StandardAnswer, status: int, document: Any) -> None:
    assert render(CUSTOM, answer) == (status, document)


@each_row(
    [
        (code, loose)
        for code in ("storage-unavailable", "too-many-requests", "internal-error")
        for loose in ({}, {"states": ["failed"]}, {"codes": ["target-rejected", "other"]})
    ]
)
def test_an_unstored_request_is_never_answered_as_a_success(code: str, loose: dict[str, Any]) -> None:
    """A sender that knows only 200 stops sending at that, and the webhook would be lost."""
    status = CATALOGUE[code].status
    lost = StandardAnswer(status, code, {"status": status, "code": code})
    for success in (200, 202, 204):
        custom = {"format": "custom", "answers": [loose | {"status": success}]}
        assert render(custom, lost) == (status, {"status": status, "code": code})
    assert render({"format": "custom", "answers": [{"status": 400}]}, lost) == (400, None)
    assert render({"format": "custom", "answers": [{"body": "code"}]}, lost) == (status, code)
    named = {"format": "custom", "answers": [{"codes": [code], "status": 200, "body": "code"}]}
    assert render(named, lost) == (200, code)


def test_a_custom_answer_can_be_plain_text() -> None:
    text = {"format": "custom", "content_type": "text/plain", "answers": [{"body": "detail || status"}]}
    rendered = render_answer(RESPONSE_FORMAT.read(text, ()), REFUSED, LIMIT)
    assert (rendered.body.decode(), RESPONSE_FORMAT.read(text, ()).media_type) == (
        DETAIL,
        "text/plain; charset=utf-8",
    )
    with pytest.raises(CannotRender):
        render_answer(RESPONSE_FORMAT.read(text | {"answers": [{"body": "errors"}]}, ()), REFUSED, LIMIT)


@each_row(
    [
        ("[[@,@],[@,@]] | [@,@,@,@] | [@,@,@,@] | [@,@,@,@] | [@,@,@,@] | [@,@,@,@]", "too much|too large"),
        ("join(',', status)", "does not fit"),
        ("length(status)", "does not fit"),
        ("&detail", "not JSON|does not fit"),
    ]
)
def test_an_expression_that_fails_or_costs_too_much_is_reported_without_the_answer(
    expression: str, reason: str
) -> None:
    custom = RESPONSE_FORMAT.read({"format": "custom", "answers": [{"body": expression}]}, ())
    with pytest.raises(CannotRender, match=reason) as raised:
        render_answer(custom, REFUSED, LIMIT)
    assert "shop" not in str(raised.value)


@each_row(["kratos", "okta-inline"])
def test_errors_that_exceed_the_limit_are_left_out_from_the_end(name: str) -> None:
    errors = [{"field": f"f{number}", "code": "invalid", "detail": "x" * 400} for number in range(20)]
    answer = StandardAnswer(422, "target-rejected", {"status": 422, "detail": DETAIL, "errors": errors})
    _status, document = render({"format": name}, answer)
    kept = document["messages"] if name == "kratos" else document["error"]["errorCauses"]
    assert 10 < len(kept) < 20
    with pytest.raises(CannotRender):
        render({"format": name}, answer, 300)


@each_row(
    [
        [],
        {"format": "html"},
        {"format": "custom", "answers": []},
        {"format": "custom", "answers": [{}] * 17},
        {"format": "custom", "answers": [{"status": 302}]},
        {"format": "custom", "answers": [{"body": "{"}]},
        {"format": "custom", "answers": [{"body": "a" * 1_001}]},
        {"format": "custom", "answers": [{"states": ["done"]}]},
        {"format": "custom", "answers": [{}], "content_type": "text/html"},
        {"format": "kratos", "prefix": "<"},
        {"format": "empty", "prefix": "a"},
    ]
)
def test_invalid_settings_are_refused(document: Any) -> None:
    with pytest.raises(SettingsInvalid):
        RESPONSE_FORMAT.read(document, ())


@each_row(["!event.test", "linked('USER', 'a')", "a" * 1_001])
def test_a_refused_expression_is_refused_at_its_place(body: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        RESPONSE_FORMAT.read({"format": "custom", "answers": [{"body": body}]}, ())
    assert "/answers/0/body" in str(refused.value)
