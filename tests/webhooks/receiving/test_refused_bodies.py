"""A refused body that names a subject is stored, and erased, with that subject."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse

from sync.erasure.erase import run_erasure
from sync.erasure.requests import find_subject
from sync.erasure.subject_data import count_rows
from tests.support.builders.erasure import (
    confirmed_erasure,
    find_in_tables,
    invented_person,
    readable_payloads,
)
from tests.support.hub import Hub
from webhooks.models import Payload, Receipt, SubjectKey

GRACE = invented_person(1)


def corrected_body(**members: Any) -> bytes:
    data = {"name": GRACE.name, "email": GRACE.email}
    body = {"id": GRACE.entity_id, "entityType": "user", "eventType": "UPDATE", "data": data}
    return json.dumps(body | members).encode()


def sent_again_with_another_body(hub: Hub) -> HttpResponse:
    hub.post_signed(GRACE.body, "msg-1")
    hub.wait_until_quiet()
    return hub.post_signed(corrected_body(), "msg-1")


def asking_for_more_than_it_may_have(hub: Hub) -> HttpResponse:
    return hub.post(corrected_body(respond="entity"))


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        (sent_again_with_another_body, "event-id-conflict"),
        (asking_for_more_than_it_may_have, "not-allowed"),
    ],
)
def test_a_refused_body_and_its_answer_are_erased_with_the_person_they_name(
    hub: Hub, refused: Callable[[Hub], HttpResponse], code: str
) -> None:
    assert refused(hub).json()["code"] == code
    receipt = Receipt.objects.select_related("payload__subject", "answer__subject").get(code=code)
    assert receipt.payload is not None
    assert receipt.answer is not None
    assert GRACE.name.encode() in receipt.payload.decrypt()
    assert receipt.answer.subject == receipt.payload.subject is not None
    kept = Payload.objects.count()
    hers = count_rows(find_subject("USER", GRACE.entity_id))["payloads"]
    erasure = confirmed_erasure(GRACE)
    assert run_erasure(erasure)
    assert erasure.counts["payloads"] == hers == kept - Payload.objects.count() > 1
    assert not any(word in readable_payloads() for word in GRACE.words)
    assert find_in_tables([GRACE]) == set()
    receipt.refresh_from_db()
    assert (receipt.code, receipt.payload, receipt.answer) == (code, None, None)


def test_an_unreadable_body_is_encrypted_with_the_keys_of_the_hub(hub: Hub) -> None:
    assert hub.post_signed(corrected_body(timestamp="yesterday")).status_code == 400
    assert not SubjectKey.objects.exists()
    assert {payload.subject for payload in Payload.objects.all()} == {None}
