"""Handshakes over HTTP: the challenge comes back where it is switched on, bounded, and nowhere else."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from audit.models import Entry
from sync.statistics.event_counts import count_events
from tests.support.people import browser
from tests.webhooks.sources.handshake_limit import slow_handshake_limit
from webhooks.models import Receipt, Refusal, Source
from webhooks.receiving import refusals
from webhooks.receiving.source_cache import find_source

CLIENT = Client(raise_request_exception=False)
OKTA = {"from": "header", "name": "X-Okta-Verification-Challenge"}
GRAPH = {"from": "query", "name": "validationToken", "method": "POST", "as": "text"}
HEADER = "X-Okta-Verification-Challenge"


@pytest.fixture(autouse=True)
def _database(database: None) -> Iterator[None]:
    yield
    refusals.reset_counts()


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


def test_okta_gets_its_challenge_as_json() -> None:
    create_source(OKTA)
    for path in ("/webhooks/asker", "/webhooks/asker/"):
        answer = get("3xK-challenge_~", path)
        assert (answer.status_code, answer.content) == (200, b'{"verification": "3xK-challenge_~"}')
        assert answer["Content-Type"] == "application/json"
        assert_safe(answer)
    hostile = '","admin":"yes<script>'
    assert get(hostile).json() == {"verification": hostile}
    assert not Receipt.objects.exists()


def test_graph_gets_its_token_as_plain_text_decoded() -> None:
    create_source(GRAPH)
    answer = post("validationToken=Validation%3a+Testing%20client%3Cb%3E&other=1")
    assert (answer.status_code, answer.content) == (200, b"Validation: Testing client<b>")
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert_safe(answer)


def test_a_challenge_is_answered_only_by_the_method_and_in_the_place_that_are_switched_on() -> None:
    source = create_source({})
    for _round in range(2):
        answer = get()
        assert (answer.status_code, answer["Allow"], answer.json()["code"]) == (405, "POST", "wrong-method")
        Source.objects.filter(pk=source.pk).update(handshake=GRAPH)
        find_source.invalidate()
    Source.objects.filter(pk=source.pk).update(handshake=OKTA)
    find_source.invalidate()
    for method in ("HEAD", "PUT", "OPTIONS"):
        assert CLIENT.generic(method, "/webhooks/asker", headers={HEADER: "abc"}).status_code == 405
    assert b"abc" not in CLIENT.generic("POST", "/webhooks/asker", b"{}", headers={HEADER: "abc"}).content


def test_a_challenge_that_is_too_long_or_not_printable_is_not_answered() -> None:
    create_source(OKTA)
    assert get("x" * 1_024).status_code == 200
    for challenge in ("", "x" * 1_025, "a\tb", "é", "a\x7fb"):
        answer = get(challenge)
        assert answer.status_code == 405
        assert challenge == "" or challenge.encode() not in answer.content


def test_a_post_without_a_good_token_is_a_webhook_like_any_other() -> None:
    create_source(GRAPH)
    for query in (
        "",
        "validationtoken=abc",
        "validationToken=a&validationToken=b",
        f"validationToken={'x' * 1_025}",
        "validationToken=%00",
        "validationToken=%0d%0aSet-Cookie:a",
        "validationToken=%ff",
        "validationToken=%C3%A9",
        "&".join(["a=1"] * 60) + "&validationToken=abc",
        f"validationToken=abc&a={'x' * 8_192}",
    ):
        answer = post(query)
        assert (answer.status_code, answer.json()["code"]) == (415, "wrong-content-type"), query
        answer = post(query, **{"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (401, "bad-signature"), query


def test_a_disabled_source_and_an_unknown_one_answer_no_handshake() -> None:
    create_source(OKTA, is_enabled=False)
    assert get().status_code == 405
    assert get(path="/webhooks/nobody").status_code == 405


def test_handshakes_have_a_limit_of_their_own() -> None:
    create_source(OKTA, requests_per_minute=1)
    with slow_handshake_limit() as burst:
        answers = [get() for _ in range(burst + 5)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[: burst - 1] == [200] * (burst - 1)
    assert statuses[-1] == 429
    assert answers[-1]["Retry-After"]
    refusals.refusal_counts.flush()
    counted = dict(Refusal.objects.values_list("code", "times"))
    assert counted["handshake"] == statuses.count(200)
    assert counted["too-many-requests"] == statuses.count(429)


def test_handshakes_are_listed_with_the_requests_and_counted_nowhere_else() -> None:
    source = create_source(GRAPH)
    for _ in range(3):
        assert post("validationToken=abc").status_code == 200
    refusals.refusal_counts.flush()
    row = Refusal.objects.get()
    assert (row.code, row.source, row.status, row.times) == ("handshake", source, 200, 3)
    assert "abc" not in str(row.__dict__)
    assert count_events(row.last_at.replace(minute=0, second=0, microsecond=0)).refusals == {}
    assert not Entry.objects.filter(action="webhook.refused").exists()
    client, address = browser("support"), f"/admin/webhooks/refusal/{row.pk}/change/"
    assert address in client.get("/admin/webhooks/receipt/?result=handshake").content.decode()
    assert address not in client.get("/admin/webhooks/receipt/?result=refused").content.decode()
    assert "notice-warn" not in client.get(address).content.decode()


@pytest.mark.parametrize(
    "handshake",
    [
        None,
        [],
        {"from": "cookie", "name": "a"},
        {"from": "body", "name": "a"},
        {"from": "origin", "name": "a"},
        {"from": "header"},
        {"from": "header", "name": "a_b"},
        {"from": "query", "name": "a b"},
        OKTA | {"method": "PUT"},
        OKTA | {"as": "html"},
        OKTA | {"field": ""},
    ],
)
def test_invalid_settings_are_refused_when_saved(handshake: Any) -> None:
    with pytest.raises(ValidationError, match="handshake"):
        create_source(handshake)
