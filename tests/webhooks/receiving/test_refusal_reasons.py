"""Refused requests are stored with the reason and the names of their headers, and the sender learns neither."""

from typing import Any

import pytest

from console.requests.results import SIGNATURE_REASON_NAMES
from tests.support.hub import EXAMPLE, Hub, signature_headers
from webhooks.models import Refusal, Source
from webhooks.protocol.signature_reasons import SignatureReason
from webhooks.receiving import refusals

pytestmark = pytest.mark.usefixtures("hub")
CANARY = "canary-7d1f"


def stored_text() -> str:
    return repr(list(Refusal.objects.values()))


@pytest.fixture
def wrong(hub: Hub) -> dict[str, dict[str, str]]:
    """Requests that cannot be verified, by the code of the reason."""
    right = signature_headers(EXAMPLE, "msg_1")
    return {
        "header-missing": {name: value for name, value in right.items() if name != "webhook-signature"},
        "wrong-signature": right | {"webhook-signature": "v1,AAAA"},
        "old-timestamp": signature_headers(EXAMPLE, "msg_1", at=1_000_000.0),
        "malformed-header": right | {"webhook-id": "with.stop"},
        "malformed-timestamp": right | {"webhook-timestamp": "today"},
    }


def test_each_reason_fits_its_column_and_has_a_name() -> None:
    assert max(map(len, SignatureReason)) <= Refusal._meta.get_field("reason").max_length
    assert set(SIGNATURE_REASON_NAMES) == set(SignatureReason)


def test_each_reason_has_a_row_of_its_own_and_one_answer(hub: Hub, wrong: dict[str, dict[str, str]]) -> None:
    answers = {bytes(hub.post(EXAMPLE, "aurora", **headers).content) for headers in wrong.values()}
    assert len(answers) == 1
    assert b"bad-signature" in answers.pop()
    assert set(Refusal.objects.values_list("reason", flat=True)) == set(wrong)


def test_a_refusal_that_is_no_wrong_signature_has_no_reason(hub: Hub) -> None:
    assert hub.post(EXAMPLE, "nobody").status_code == 404
    Source.objects.update(requests_per_minute=1)
    while hub.post_signed(b"[]").status_code != 429:
        pass
    assert set(Refusal.objects.values_list("code", "reason")) == {
        ("unknown-source", ""),
        ("too-many-requests", ""),
    }


@pytest.mark.promise("I6")
def test_names_of_headers_are_stored_and_never_their_values(hub: Hub) -> None:
    headers: Any = {"authorization": f"Bearer {CANARY}", "x-custom": CANARY, "cookie": f"a={CANARY}"}
    assert hub.post(EXAMPLE, "aurora", **headers).status_code == 401
    names = Refusal.objects.get().header_names
    assert {"authorization", "content-type", "cookie", "x-custom"} <= set(names)
    assert CANARY not in stored_text()


def test_names_of_headers_are_bounded_and_printable() -> None:
    many = {f"x-{number:03}-{'long' * 40}": "value" for number in range(80)}
    names = refusals.bounded_header_names(many)
    assert len(names) == 50
    assert {len(name) for name in names} == {64}
    assert refusals.bounded_header_names({"x\0y\u00e9": "value"}) == ["x?y?"]
