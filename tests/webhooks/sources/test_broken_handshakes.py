"""Each check of a handshake is needed: a variant without it fails the tests of handshakes."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests.webhooks.sources import test_handshakes as right
from webhooks.models import Source
from webhooks.protocol import handshake as protocol
from webhooks.protocol.handshake import HANDSHAKE, Handshake
from webhooks.receiving import handshakes, receive
from webhooks.receiving.answers import Answer
from webhooks.receiving.incoming_request import IncomingRequest

ANYTHING = re.compile(r".*", re.DOTALL)


@pytest.fixture(autouse=True)
def _database(database: None) -> None:
    pass


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
        source.handshake = source.handshake or right.OKTA
    return source


_find_source = receive.find_source


def _first_parameter(query_string: str, name: str) -> str:
    return next((value for own, value in parse_qsl(query_string) if own == name), "")


def _ask_a_source_without_a_handshake() -> None:
    """What a stranger sends to a source that is verified and expects no handshake comes back to nobody."""
    right.create_source({})
    assert b"abc" not in right.get().content


def _refuse_html() -> None:
    right.create_source(right.GRAPH)
    answer = right.post("validationToken=%3Cscript%3Ealert(1)%3C/script%3E")
    right.assert_safe(answer)


def _quote_the_challenge() -> None:
    right.create_source(right.OKTA)
    assert right.get('","admin":"yes').json() == {"verification": '","admin":"yes'}


def _ask_by_another_method() -> None:
    right.create_source(right.OKTA)
    answer = right.CLIENT.generic("POST", "/webhooks/asker", b"{}", headers={right.HEADER: "abc"})
    assert b"abc" not in answer.content


def _ask_a_disabled_source() -> None:
    right.test_a_disabled_source_and_an_unknown_one_answer_no_handshake()


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
        lambda: right.test_a_challenge_that_is_too_long_or_not_printable_is_not_answered("x" * 1_025),
        [(protocol, "_CHALLENGE", ANYTHING)],
    ),
    "echoes control characters": (
        lambda: right.test_a_challenge_that_is_too_long_or_not_printable_is_not_answered("a\tb"),
        [(protocol, "_CHALLENGE", ANYTHING)],
    ),
    "echoes line breaks": (
        lambda: right.test_a_post_without_a_good_token_is_a_webhook_like_any_other(
            "validationToken=%0d%0aSet-Cookie:a"
        ),
        [(protocol, "_CHALLENGE", ANYTHING)],
    ),
    "echoes bytes that are no text": (
        lambda: right.test_a_post_without_a_good_token_is_a_webhook_like_any_other("validationToken=%ff"),
        [(protocol, "_CHALLENGE", ANYTHING), (protocol, "_read_parameter", _first_parameter)],
    ),
    "takes one of several parameters": (
        lambda: right.test_a_post_without_a_good_token_is_a_webhook_like_any_other(
            "validationToken=a&validationToken=b"
        ),
        [(protocol, "_read_parameter", _first_parameter)],
    ),
    "reads a query of any size": (
        lambda: right.test_a_post_without_a_good_token_is_a_webhook_like_any_other(
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
        right.test_handshakes_have_a_limit_of_their_own,
        [(handshakes, "reserve_turn", lambda *_, **__: None)],
    ),
}


@pytest.mark.parametrize("variant", CASES)
def test_the_hub_passes(variant: str) -> None:
    CASES[variant][0]()


@pytest.mark.parametrize("variant", CASES)
def test_a_variant_without_the_check_is_caught(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check, patches = CASES[variant]
    for where, name, broken in patches:
        monkeypatch.setattr(where, name, broken)
    with pytest.raises((AssertionError, ValueError)):
        check()
