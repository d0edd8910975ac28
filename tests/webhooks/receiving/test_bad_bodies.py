"""Bodies of every kind over HTTP: the exact answer, nothing lost, nothing repeated, the same on both databases.

Every document of the corpus and every wrong value is read in `tests/webhooks/protocol/`, where it costs no request; here
each class of them is sent. The unsigned source has no route, so what is a webhook ends as `ignored`. Both databases are
held to the same written answers; that is the comparison between them.
"""

import json

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client

from tests.support.http.machine_answers import CANARY, assert_sound_answer
from tests.webhooks.corpus import ACCEPTED, CASES, Case
from tests.webhooks.corpus.case import REQUIRED
from tests.webhooks.corpus.members import EVENT_IDS, FIELDS, IDS, NO_OBJECT, RESPONDS, TIMESTAMPS, WORDS
from webhooks.models import Event, Receipt, Refusal, Source

pytestmark = pytest.mark.usefixtures("source")

CLIENT = Client(raise_request_exception=False)
GOOD = {"id": CANARY, "entityType": "USER", "eventType": "UPDATE"}


@pytest.fixture
def source(database: None) -> Source:
    if connection.vendor == "sqlite":  # thousands of commits, and none of them is about a power cut
        connection.cursor().execute("PRAGMA synchronous = OFF")
    return Source.objects.create(slug="sender", name="Sender", scheme="none")


def post(body: bytes) -> HttpResponse:
    # As a header: the client leaves `content_type` out where the body is empty.
    return CLIENT.generic("POST", "/webhooks/sender", body, headers={"Content-Type": "application/json"})


def post_all(bodies: list[bytes]) -> list[tuple[int, str, str]]:
    """Send bodies. Returns status, code and pointer of each. Asserts that each has its receipt with its answer."""
    answers = [post(body) for body in bodies]
    receipts = Receipt.objects.select_related("payload", "answer", "event").order_by("pk")
    assert [receipt.payload.decrypt() for receipt in receipts] == bodies
    assert [(receipt.status, receipt.answer.decrypt()) for receipt in receipts] == [
        (answer.status_code, answer.content) for answer in answers
    ]
    assert [receipt.reference for receipt in receipts] == [
        json.loads(answer.content)["reference"] for answer in answers
    ]
    assert Refusal.objects.count() == 0
    return [answer_parts(answer) for answer in answers]


def answer_parts(answer: HttpResponse) -> tuple[int, str, str]:
    document = assert_sound_answer(answer)
    if answer.status_code < 400:
        return answer.status_code, document["status"], ""
    [error] = document.get("errors", [{"pointer": "", "code": document["code"]}])
    assert error["code"] == document["code"]
    return answer.status_code, document["code"], error["pointer"]


@pytest.mark.promise("I12", "I23")
def test_a_document_of_the_corpus_as_the_body_has_one_answer() -> None:
    chosen = representatives()
    answers = post_all([case.body for case in chosen])
    assert dict(zip(chosen, answers, strict=True)) == {case: (400, *case.as_a_webhook()) for case in chosen}
    assert Event.objects.count() == 0


@pytest.mark.submission
def test_a_document_of_the_corpus_as_a_field_has_one_answer() -> None:
    chosen = representatives()
    answers = post_all([json.dumps(GOOD).encode()[:-1] + b',"extra":' + case.body + b"}" for case in chosen])
    assert dict(zip(chosen, answers, strict=True)) == {
        case: (200, "ignored", "") if case.inside == ACCEPTED else (400, case.inside, "") for case in chosen
    }
    assert Event.objects.count() == sum(case.inside == ACCEPTED for case in chosen)


def representatives() -> list[Case]:
    """Return the shortest and the last document of each kind for each pair of answers."""
    chosen: dict[tuple[str, ...], list[Case]] = {}
    for case in CASES:
        if len(case.body) < 40_000:
            chosen.setdefault((case.kind, case.inside, *case.as_a_webhook()), []).append(case)
    return [
        case
        for cases in chosen.values()
        for case in dict.fromkeys((min(cases, key=lambda case: len(case.body)), cases[-1]))
    ]


def test_a_wrong_field_is_named_and_its_value_never_repeated() -> None:
    wrong = [
        ("id", IDS, "wrong-id", "/id"),
        ("entityType", WORDS, "wrong-entity-type", "/entityType"),
        ("eventType", WORDS, "wrong-event-type", "/eventType"),
        ("timestamp", TIMESTAMPS, "wrong-timestamp", "/timestamp"),
        ("eventId", EVENT_IDS, "wrong-event-id", "/eventId"),
        ("previous", NO_OBJECT, "wrong-previous", "/previous"),
        ("data", NO_OBJECT, "wrong-data", "/data"),
        ("respond", RESPONDS, "wrong-respond", "/respond"),
        ("respond", [{"fields": value} for value in FIELDS], "wrong-respond", "/respond/fields"),
    ]
    sent = [
        (GOOD | {member: value}, (400, code, pointer))
        for member, values, code, pointer in wrong
        for value in (*{type(value): value for value in values}.values(), values[len(values) // 2])
    ]
    for name in REQUIRED:
        others = {field: value for field, value in GOOD.items() if field != name}
        spellings = ("other", name.upper(), f"{name} ", f"\ufeff{name}")
        expected = (400, "missing-member", f"/{name}")
        sent += [(others | {spelling: GOOD[name]}, expected) for spelling in spellings]
    answers = post_all([json.dumps(document).encode() for document, _ in sent])
    assert answers == [answer for _, answer in sent]


def test_a_duplicate_name_is_refused_and_only_a_known_one_is_named() -> None:
    good, twice = json.dumps(GOOD)[:-1], f'{{"{CANARY}":1,"{CANARY}":2}}'
    bodies = {
        f'{good},"id":"other"}}': "/id",
        f'{good},"{CANARY}":1,"{CANARY}":2}}': "",
        f'{good},"data":[{twice}]}}': "/data",
        f'{good},"{CANARY}":[{twice}]}}': "",
    }
    answers = post_all([body.encode() for body in bodies])
    assert answers == [(400, "duplicate-member", pointer) for pointer in bodies.values()]


def test_sixty_four_kilobytes_are_accepted_and_one_byte_more_is_not() -> None:
    body = json.dumps(GOOD | {"extra": ""}).encode()
    largest = body.replace(b'"extra": ""', b'"extra": "' + b"a" * (65_536 - len(body)) + b'"')
    assert len(largest) == 65_536
    assert post_all([largest]) == [(200, "ignored", "")]
    assert answer_parts(post(largest + b" ")) == (413, "too-large", "")
    [row] = Refusal.objects.all()
    assert (row.code, row.size, row.times) == ("too-large", 65_537, 1)
    assert Receipt.objects.count() == 1
