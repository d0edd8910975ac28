"""Handshakes over HTTP: the challenge comes back where it is switched on, bounded, and nowhere else."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from webhooks.models import Receipt, Refusal, Source
from webhooks.receiving.handshakes import HANDSHAKE_LIMIT

CLIENT = Client(raise_request_exception=False)
OKTA = {"from": "header", "name": "X-Okta-Verification-Challenge"}
GRAPH = {"from": "query", "name": "validationToken", "method": "POST", "as": "text"}
HEADER = "X-Okta-Verification-Challenge"


@pytest.fixture(autouse=True)
def _database(database: None) -> None:
    pass


def create_source(handshake: Any, **fields: Any) -> Source:
    source = Source(slug="asker", name="Asker", scheme="bearer", handshake=handshake, **fields)
    source.full_clean()
    source.save()
    return source


def get(challenge: str = "abc", path: str = "/webhooks/asker") -> Any:
    return CLIENT.get(path, headers={HEADER: challenge})


def post(query: str, path: str = "/webhooks/asker", **headers: str) -> Any:
    return CLIENT.generic("POST", f"{path}?{query}", b"", headers={"Content-Type": "text/plain", **headers})


def assert_safe(answer: Any) -> None:
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "no-store"
    assert "html" not in answer["Content-Type"]


@pytest.mark.parametrize("path", ["/webhooks/asker", "/webhooks/asker/"])
def test_okta_gets_its_challenge_as_json(path: str) -> None:
    create_source(OKTA)
    answer = get("3xK-challenge_~", path)
    assert (answer.status_code, answer.content) == (200, b'{"verification": "3xK-challenge_~"}')
    assert answer["Content-Type"] == "application/json"
    assert_safe(answer)
    assert not Receipt.objects.exists()


def test_graph_gets_its_token_as_plain_text_decoded() -> None:
    create_source(GRAPH)
    answer = post("validationToken=Validation%3a+Testing%20client%3Cb%3E&other=1")
    assert (answer.status_code, answer.content) == (200, b"Validation: Testing client<b>")
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert_safe(answer)


def test_the_name_of_the_field_is_a_setting() -> None:
    create_source(OKTA | {"member": "challenge"})
    assert get().json() == {"challenge": "abc"}


def test_a_get_is_refused_where_no_handshake_is_switched_on() -> None:
    source = create_source({})
    for _round in range(2):
        answer = get()
        assert (answer.status_code, answer["Allow"], answer.json()["code"]) == (405, "POST", "wrong-method")
        Source.objects.filter(pk=source.pk).update(handshake=GRAPH)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_stay_refused(method: str) -> None:
    create_source(OKTA)
    assert CLIENT.generic(method, "/webhooks/asker", headers={HEADER: "abc"}).status_code == 405


@pytest.mark.parametrize("challenge", ["", "x" * 1_025, "a\tb", "é", "a\x7fb"])
def test_a_challenge_that_is_too_long_or_not_printable_is_not_answered(challenge: str) -> None:
    create_source(OKTA)
    answer = get(challenge)
    assert answer.status_code == 405
    assert challenge == "" or challenge.encode() not in answer.content


@pytest.mark.parametrize(
    "query",
    [
        "",
        "validationToken=",
        "validationtoken=abc",
        "validationToken=a&validationToken=b",
        f"validationToken={'x' * 1_025}",
        "validationToken=%00",
        "validationToken=%0d%0aSet-Cookie:a",
        "validationToken=%ff",
        "validationToken=%C3%A9",
        "&".join(["a=1"] * 60) + "&validationToken=abc",
        f"validationToken=abc&a={'x' * 8_192}",
    ],
)
def test_a_post_without_a_good_token_is_a_webhook_like_any_other(query: str) -> None:
    create_source(GRAPH)
    answer = post(query)
    assert (answer.status_code, answer.json()["code"]) == (415, "wrong-content-type")
    answer = post(query, **{"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (401, "bad-signature")


def test_a_disabled_source_and_an_unknown_one_answer_no_handshake() -> None:
    create_source(OKTA, is_enabled=False)
    assert get().status_code == 405
    assert get(path="/webhooks/nobody").status_code == 405


def test_handshakes_have_a_limit_of_their_own() -> None:
    create_source(OKTA, requests_per_minute=1)
    answers = [get() for _ in range(HANDSHAKE_LIMIT.burst + 5)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[: HANDSHAKE_LIMIT.burst - 1] == [200] * (HANDSHAKE_LIMIT.burst - 1)
    assert statuses[-1] == 429
    assert answers[-1]["Retry-After"] == "2"
    assert list(Refusal.objects.values_list("code", flat=True)) == ["too-many-requests"]


@pytest.mark.parametrize(
    ("handshake", "fault"),
    [
        (None, "handshake"),
        ([], "object"),
        ("x", "object"),
        ({"from": "body", "name": "a"}, "from"),
        ({"from": "header"}, "name"),
        ({"from": "header", "name": "a_b"}, "underscore"),
        ({"from": "query", "name": "a b"}, "name"),
        (OKTA | {"method": "PUT"}, "method"),
        (OKTA | {"as": "html"}, "as"),
        (OKTA | {"member": ""}, "member"),
        (OKTA | {"secret": 1}, "Unknown field"),
    ],
)
def test_invalid_settings_are_refused_when_saved(handshake: Any, fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        create_source(handshake)
