"""Handshakes over HTTP: the challenge comes back where it is switched on, bounded, and nowhere else.

Each check is needed: the variants at the end, each without one, fail.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from audit.models import Entry
from sync.statistics.event_counts import count_events
from tests.support.people import browser
from tests.webhooks.sources.handshake_limit import slow_handshake_limit
from webhooks.models import Receipt, Refusal, Source
from webhooks.protocol import handshake as protocol
from webhooks.protocol.handshake import HANDSHAKE, Handshake
from webhooks.receiving import handshakes, receive, refusals
from webhooks.receiving.answers import Answer
from webhooks.receiving.incoming_request import IncomingRequest

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
    create_source(OKTA | {"field": "challenge"})
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
    with slow_handshake_limit() as burst:
        answers = [get() for _ in range(burst + 5)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[: burst - 1] == [200] * (burst - 1)
    assert statuses[-1] == 429
    assert 20 < int(answers[-1]["Retry-After"]) <= 50  # a turn less the time since the first
    refusals.refusal_counts.flush()
    counted = dict(Refusal.objects.values_list("code", "times"))
    assert counted["handshake"] == statuses.count(200)
    assert counted["too-many-requests"] == statuses.count(429)


@pytest.mark.parametrize("handshake", [OKTA, GRAPH])
def test_handshakes_are_listed_with_the_requests_and_counted_nowhere_else(handshake: Any) -> None:
    source = create_source(handshake)
    for _ in range(3):
        assert (get() if handshake is OKTA else post("validationToken=abc")).status_code == 200
    refusals.refusal_counts.flush()
    row = Refusal.objects.get()
    assert (row.code, row.source, row.status, row.times) == ("handshake", source, 200, 3)
    assert "abc" not in str(row.__dict__)
    assert count_events(row.last_at.replace(minute=0, second=0, microsecond=0)).refusals == {}
    assert not Entry.objects.filter(action="webhook.refused").exists()
    client = browser("support")
    listed = client.get("/admin/webhooks/receipt/?result=handshake").content.decode()
    assert "handshake was answered" in listed
    assert (
        "The sender's handshake" not in client.get("/admin/webhooks/receipt/?result=refused").content.decode()
    )
    page = client.get(f"/admin/webhooks/refusal/{row.pk}/change/").content.decode()
    assert "answered 3 times" in page
    assert "notice-warn" not in page


@pytest.mark.parametrize(
    ("handshake", "fault"),
    [
        (None, "handshake"),
        ([], "object"),
        ("x", "object"),
        ({"from": "cookie", "name": "a"}, "from"),
        ({"from": "body", "name": "a"}, "Unknown field"),
        ({"from": "origin", "name": "a"}, "Unknown field"),
        ({"from": "header"}, "name"),
        ({"from": "header", "name": "a_b"}, "underscore"),
        ({"from": "query", "name": "a b"}, "name"),
        (OKTA | {"method": "PUT"}, "method"),
        (OKTA | {"as": "html"}, "as"),
        (OKTA | {"field": ""}, "field"),
        (OKTA | {"secret": 1}, "Unknown field"),
    ],
)
def test_invalid_settings_are_refused_when_saved(handshake: Any, fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        create_source(handshake)


ANYTHING = re.compile(r".*", re.DOTALL)


def _of_any_method(self: Handshake, method: str, headers: Any, query_string: str) -> str | None:
    return _find(self, self.method, headers, query_string)


_find = Handshake.find_challenge


def _answer_any_source(source: Source, incoming: IncomingRequest) -> Answer | None:
    """Answer the challenge of whoever asks, also if the source is disabled."""
    handshake = HANDSHAKE.read(source.handshake, ())
    challenge = handshake.find_challenge(incoming.method, incoming.headers, incoming.query_string)
    return None if challenge is None else Answer(200, handshake.write_answer(challenge), "handshake")


def _find_switched_on(slug: str) -> Source | None:
    source = _find_source(slug)
    if source is not None:
        source.handshake = source.handshake or OKTA
    return source


_find_source = receive.find_source


def _first_parameter(query_string: str, name: str) -> str:
    return next((value for own, value in parse_qsl(query_string) if own == name), "")


def _ask_a_source_without_a_handshake() -> None:
    """A challenge to a verified source without a handshake is not sent back."""
    create_source({})
    assert b"abc" not in get().content


def _refuse_html() -> None:
    create_source(GRAPH)
    answer = post("validationToken=%3Cscript%3Ealert(1)%3C/script%3E")
    assert_safe(answer)


def _quote_the_challenge() -> None:
    create_source(OKTA)
    assert get('","admin":"yes').json() == {"verification": '","admin":"yes'}


def _ask_by_another_method() -> None:
    create_source(OKTA)
    answer = CLIENT.generic("POST", "/webhooks/asker", b"{}", headers={HEADER: "abc"})
    assert b"abc" not in answer.content


def _ask_a_disabled_source() -> None:
    test_a_disabled_source_and_an_unknown_one_answer_no_handshake()


Patch = tuple[Any, str, Any]
CASES: dict[str, tuple[Callable[[], None], list[Patch]]] = {
    "answers where no handshake is switched on": (
        _ask_a_source_without_a_handshake,
        [(receive, "find_source", _find_switched_on)],
    ),
    "answers for a source that is disabled": (
        _ask_a_disabled_source,
        [(receive, "answer_handshake", _answer_any_source)],
    ),
    "answers any method": (_ask_by_another_method, [(Handshake, "find_challenge", _of_any_method)]),
    "echoes without a limit": (
        lambda: test_a_challenge_that_is_too_long_or_not_printable_is_not_answered("x" * 1_025),
        [(protocol, "_CHALLENGE", ANYTHING)],
    ),
    "echoes control characters": (
        lambda: test_a_challenge_that_is_too_long_or_not_printable_is_not_answered("a\tb"),
        [(protocol, "_CHALLENGE", ANYTHING)],
    ),
    "echoes line breaks": (
        lambda: test_a_post_without_a_good_token_is_a_webhook_like_any_other(
            "validationToken=%0d%0aSet-Cookie:a"
        ),
        [(protocol, "_CHALLENGE", ANYTHING)],
    ),
    "echoes bytes that are no text": (
        lambda: test_a_post_without_a_good_token_is_a_webhook_like_any_other("validationToken=%ff"),
        [(protocol, "_CHALLENGE", ANYTHING), (protocol, "_read_parameter", _first_parameter)],
    ),
    "takes one of several parameters": (
        lambda: test_a_post_without_a_good_token_is_a_webhook_like_any_other(
            "validationToken=a&validationToken=b"
        ),
        [(protocol, "_read_parameter", _first_parameter)],
    ),
    "reads a query of any size": (
        lambda: test_a_post_without_a_good_token_is_a_webhook_like_any_other(
            f"validationToken=abc&a={'x' * 8_192}"
        ),
        [(protocol, "_read_parameter", _first_parameter)],
    ),
    "reflects HTML": (_refuse_html, [(Handshake, "media_type", "text/html; charset=utf-8")]),
    "quotes nothing": (
        _quote_the_challenge,
        [(Handshake, "write_answer", lambda _, challenge: f'{{"verification": "{challenge}"}}'.encode())],
    ),
    "has no limit of its own": (
        test_handshakes_have_a_limit_of_their_own,
        [(handshakes, "reserve_turn", lambda *_, **__: None)],
    ),
}


@pytest.mark.parametrize("variant", CASES)
def test_the_hub_has_the_check(variant: str) -> None:
    CASES[variant][0]()


@pytest.mark.parametrize("variant", CASES)
def test_a_variant_without_the_check_is_caught(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check, patches = CASES[variant]
    for where, name, broken in patches:
        monkeypatch.setattr(where, name, broken)
    with pytest.raises((AssertionError, ValueError)):
        check()
