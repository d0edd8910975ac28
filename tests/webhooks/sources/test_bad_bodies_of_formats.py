"""Bodies of every kind to sources with formats, verifications and response formats of their own: each has one answer,
nothing is lost, no secret is stored or written to the log, and both databases are held to the same answers.

What is read is compared with the pure reader (`webhooks.protocol.formats`); here it is sent, verified and stored.
"""

import base64
import hmac
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.http import HttpResponse
from django.test import Client

from audit.models import Entry
from config_schema.codes.codes import CATALOGUE
from tests.webhooks.corpus import ACCEPTED, CASES, Case
from tests.webhooks.corpus.members import EVENT_IDS, IDS, NO_OBJECT, TIMESTAMPS, WORDS
from webhooks.models import Event, Payload, Receipt, Refusal, Source, SourceSecret
from webhooks.protocol.formats.event_reader import UnreadableEvent, read_request
from webhooks.protocol.strict_json import MalformedBody
from webhooks.receiving.refusals import refusal_counts
from webhooks.responses.response_format import RESPONSE_FORMAT

CLIENT = Client(raise_request_exception=False)
SECRET = "canary-of-the-source-4cfe26c1f0a94d52"
DROPPED = "canary-in-a-dropped-field-9b1d"
JSON_TYPE = "application/json"
FORMAT: dict[str, Any] = {
    "events": "body.events",
    "when": "event.kind != 'unwanted'",
    "id": "event.user",
    "entity_type": "event.what || 'USER'",
    "event_type": "event.kind",
    "event_types": {"changed": "UPDATE"},
    "event_id": "event.uid",
    "occurred_at": "event.at",
    "previous": "event.old",
    "data": "event.new",
    "drop": ["password", "events[].password", "events[].new.password"],
}
CUSTOM = {
    "format": "custom",
    "answers": [
        {"states": ["failed"], "status": 200, "body": "{ok: `false`, what: detail, code: code}"},
        {"body": "@"},
    ],
}
# Of every request, whoever sends it. Nothing here waits, and nothing fails at another system.
STATUSES = {200, 400, 401, 409, 413, 415}

Signed = tuple[bytes, Mapping[str, str]]


def _with_token(body: bytes) -> Signed:
    return body, {"Content-Type": JSON_TYPE, "Authorization": f"Bearer {SECRET}"}


def _with_hmac(body: bytes) -> Signed:
    seconds = str(int(time.time()))
    digest = hmac.digest(SECRET.encode(), seconds.encode() + b":" + body, "sha512")
    signature = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return body, {"Content-Type": JSON_TYPE, "X-Sig": signature, "X-At": seconds}


def _as_token(body: bytes) -> Signed:
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    content = head + b"." + base64.urlsafe_b64encode(body).rstrip(b"=")
    signature = hmac.digest(SECRET.encode(), content, "sha256")
    token = content + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")
    return token, {"Content-Type": "application/jwt"}


def _as_it_is(body: bytes) -> Signed:
    return body, {"Content-Type": JSON_TYPE}


@dataclass(frozen=True)
class Sender:
    """A source and how its sender proves itself. `reads_first`: the verification reads the body, so one that is broken
    is not verified. `start`: how a body with events begins.
    """

    scheme: str = "bearer"
    settings: Mapping[str, Any] = field(default_factory=dict)
    sign: Callable[[bytes], Signed] = _with_token
    response: Mapping[str, Any] = field(default_factory=dict)
    reads_first: bool = False
    start: bytes = b'{"password":"' + DROPPED.encode() + b'","events":['

    def create(self) -> Source:
        source = Source(
            slug="sender", name="Sender", scheme=self.scheme, scheme_settings=dict(self.settings),
            webhook_format=FORMAT, response_format=dict(self.response),
        )  # fmt: skip
        source.full_clean()
        source.save()
        SourceSecret.objects.create(source=source, value=SECRET, hint=SECRET[-4:])
        return source

    def post(self, body: bytes) -> HttpResponse:
        signed, headers = self.sign(body)
        return CLIENT.generic("POST", "/webhooks/sender", signed, headers=dict(headers))


HMAC = {
    "header": "X-Sig", "signed": ["{time}", ":", "{body}"], "time_header": "X-At", "algorithm": "sha512",
    "encoding": "base64url",
}  # fmt: skip
SENDERS: dict[str, Sender] = {
    "token": Sender(),
    "hmac": Sender("hmac", HMAC, _with_hmac),
    "jwt": Sender("jwt", {"algorithm": "HS256"}, _as_token, reads_first=True),
    "body-secret": Sender(
        "body-secret", {"field": "state"}, _as_it_is, reads_first=True,
        start=b'{"state":"' + SECRET.encode() + b'","password":"' + DROPPED.encode() + b'","events":[',
    ),
    **{
        name: Sender(response={"format": name})
        for name in ("kratos", "okta-inline", "zitadel", "scim", "empty", "problem+json")
    },
    "custom": Sender(response=CUSTOM),
}  # fmt: skip


def representatives() -> list[Case]:
    """Return a document of each kind for each pair of answers."""
    return list({(case.kind, case.whole, case.inside): case for case in CASES}.values())


def expected_answer(source: Source, body: bytes) -> tuple[int, str]:
    """Return the standard status and the code of the answer, as the pure reader says."""
    try:
        events = read_request(source.parsed_format, body, headers={}, query_string="").events
    except MalformedBody as malformed:
        return CATALOGUE[malformed.code].status, malformed.code
    codes = [event.code for event in events if isinstance(event, UnreadableEvent)]
    if all(code == "filtered" for code in codes) and len(codes) == len(events):
        return 200, "filtered"
    faults = [code for code in codes if code != "filtered"]
    if faults and len(codes) == len(events):
        return CATALOGUE[faults[0]].status, faults[0]
    # No route takes an event of this source.
    ignore_code = [event.ignore_code for event in events if not isinstance(event, UnreadableEvent)]
    return 200, "filtered" if ignore_code == ["filtered"] else "ignored"


def check(
    sender: Sender, bodies: Iterable[bytes], caplog: pytest.LogCaptureFixture, *, are_broken: bool = False
) -> list[HttpResponse]:
    """Send bodies, and check every answer, row and line of the log."""
    if connection.vendor == "sqlite":  # none of these commits is about a power cut
        connection.cursor().execute("PRAGMA synchronous = OFF")
    source, sent = sender.create(), list(bodies)
    media_type = RESPONSE_FORMAT.read(dict(sender.response), ()).media_type
    with caplog.at_level(logging.DEBUG):
        answers = [sender.post(body) for body in sent]
    receipts = list(Receipt.objects.select_related("answer", "payload").order_by("pk"))
    verified = [
        (body, answer) for body, answer in zip(sent, answers, strict=True) if answer.status_code != 401
    ]
    assert len(receipts) == len(verified)
    refusal_counts.flush()
    assert sum(Refusal.objects.values_list("times", flat=True)) == len(sent) - len(verified)
    for receipt, (body, answer) in zip(receipts, verified, strict=True):
        assert answer.status_code in STATUSES, (body[:60], answer.status_code)
        status, code = expected_answer(source, body)
        assert (receipt.status, receipt.code) == (answer.status_code, code), body[:200]
        if not sender.response:
            assert answer.status_code == status
        assert receipt.answer is not None
        assert receipt.answer.decrypt() == answer.content
        assert (answer["Cache-Control"], answer["X-Content-Type-Options"]) == ("no-store", "nosniff")
        if sender.response and sender.response["format"] != "problem+json":
            assert answer["Content-Type"] == media_type
    if len(verified) < len(sent):
        assert are_broken
        assert sender.reads_first
    known = stored_text() + caplog.text + "".join(answer.content.decode() for answer in answers)
    for secret in (SECRET, DROPPED):
        assert secret not in known
    return answers


def stored_text() -> str:
    """Return everything that is stored, but the secrets of the sources."""
    models = [model for model in apps.get_app_config("webhooks").get_models() if model is not SourceSecret]
    rows = [repr(row) for model in (*models, Entry) for row in model._default_manager.values_list()]
    payloads = [
        payload.decrypt().decode("utf-8", "replace") for payload in Payload.objects.select_related("subject")
    ]
    return "\n".join(rows + payloads)


def part_of(things: list[Any], name: str) -> list[Any]:
    """Return the share of a sender: each thing goes to two of them."""
    place, number = list(SENDERS).index(name), len(SENDERS)
    return [thing for index, thing in enumerate(things) if (index - place) % number in (0, number // 2)]


def is_allowed(case: Case) -> bool:
    """Return True for a document that JSON allows as an item of a list."""
    return case.inside == ACCEPTED and case.kind != "further member"


def whole_bodies(sender: Sender, cases: list[Case]) -> list[bytes]:
    if sender.scheme == "body-secret":
        return [sender.start + b"]," + b'"extra":' + case.body + b"}" for case in cases]
    return [case.body for case in cases]


def inner_bodies(sender: Sender, cases: list[Case]) -> list[bytes]:
    return [sender.start + case.body + b"]}" for case in cases]


@pytest.mark.usefixtures("database")
@pytest.mark.submission_rows(5)
@pytest.mark.parametrize("name", SENDERS)
def test_a_document_of_the_corpus_has_one_answer(name: str, caplog: pytest.LogCaptureFixture) -> None:
    sender, cases = SENDERS[name], part_of(representatives(), name)
    bodies = whole_bodies(sender, cases) + inner_bodies(sender, cases)
    answers = check(sender, [body for body in bodies if len(body) <= 40_000], caplog, are_broken=True)
    # What JSON allows is verified, also where the verification reads the body first.
    allowed = {
        body for case, body in zip(cases, inner_bodies(sender, cases), strict=True) if is_allowed(case)
    }
    sent = [body for body in bodies if len(body) <= 40_000]
    assert 401 not in {
        answer.status_code for body, answer in zip(sent, answers, strict=True) if body in allowed
    }


@pytest.mark.usefixtures("database")
def test_hostile_values_stop_none_of_the_other_events_of_their_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fields = {
        "user": IDS,
        "kind": WORDS,
        "at": TIMESTAMPS,
        "uid": EVENT_IDS,
        "new": NO_OBJECT,
        "old": NO_OBJECT,
    }
    good = {"user": "GOOD", "kind": "changed", "password": DROPPED}
    sender = SENDERS["token"]
    bodies = []
    for number, (name, values) in enumerate(fields.items()):
        events = [good | {"user": "U1", name: value} for value in values if len(str(value)) < 5_000]
        listed = json.dumps([*events, good | {"uid": f"good-{number}"}]).encode()
        bodies.append(sender.start + listed[1:-1] + b"]}")
    check(sender, bodies, caplog)
    assert Event.objects.filter(entity_id="GOOD").count() == len(bodies)
