"""Forms: verified over their bytes, read strictly, stored without what is dropped, and delivered as any webhook."""

import hmac
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse

from exports.row_checks.nightly_rows import find_row_faults
from sync.housekeeping.unusable_bodies import erase_unusable_bodies
from tests.support.builders.event_batches import TOKEN, add_token, documents, set_format
from tests.support.hub import ANNA, Hub
from webhooks.models import Event, Payload, Receipt, Refusal, Source, SourceSecret
from webhooks.protocol.strict_form import FORM_TYPE
from webhooks.receiving import refusals
from webhooks.receiving.source_cache import find_source

FORMAT: dict[str, Any] = {
    "content_types": [FORM_TYPE],
    "id": "event.user",
    "entity_type": {"constant": "USER"},
    "event_type": "event.type",
    "event_types": {"profile": "UPDATE"},
    "event_id": "event.id",
    "drop": ["password", '"data[pin]"'],
}
# One field holds a list of events as JSON, as Mandrill sends it.
LISTED: dict[str, Any] = {
    "content_types": [FORM_TYPE],
    "json_fields": ["mandrill_events"],
    "events": "body.mandrill_events",
    "id": "event.msg.metadata.user_id",
    "entity_type": {"constant": "DEVICE"},
    "event_type": "event.event",
    "event_types": {"hard_bounce": "UPDATE"},
    "event_id": "event._id",
    "occurred_at": "event.ts",
    "time_format": "seconds",
    "drop": ["mandrill_events[].msg.password"],
}


@pytest.fixture
def formed(hub: Hub) -> Hub:
    add_token()
    set_format(FORMAT)
    return hub


def send(hub: Hub, form: bytes | dict[str, Any], content_type: str = FORM_TYPE) -> HttpResponse:
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    return hub.client.generic(
        "POST",
        "/webhooks/aurora-unsigned",
        body,
        content_type=content_type,
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": content_type},
    )


def profile(user: str = ANNA, **fields: str) -> dict[str, str]:
    return {"type": "profile", "user": user, **fields}


def code_of(answer: HttpResponse) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def bodies() -> list[str]:
    """Return the plain text of all stored bodies."""
    rows = Payload.objects.filter(kind=Payload.Kind.WEBHOOK).select_related("subject").order_by("pk")
    return [payload.decrypt().decode() for payload in rows]


def test_a_form_is_delivered_and_stored_as_its_fields_without_what_is_dropped(formed: Hub) -> None:
    formed.change_email("form@example.org")
    fields = profile(id="e-1", name="Äijö & Co + 100 %", password="in-clear", **{"data[pin]": "12-34"})
    answer = send(formed, fields)
    assert answer.status_code == 200, answer.content
    customer = formed.customer()
    assert customer is not None
    assert customer["email"] == "form@example.org"
    [stored] = documents()
    assert stored["event"] == profile(id="e-1", name="Äijö & Co + 100 %")
    assert "in-clear" not in "".join(bodies())
    assert "12-34" not in "".join(bodies())
    assert list(find_row_faults()) == []


@pytest.mark.submission
def test_the_content_type_of_a_form_may_have_its_encoding_and_no_other(formed: Hub) -> None:
    for content_type in (f"{FORM_TYPE}; charset=utf-8", f'{FORM_TYPE.upper()};charset="UTF-8"'):
        assert send(formed, profile(), content_type).status_code == 200
    for content_type in (
        "",
        "application/json",
        "multipart/form-data; boundary=x",
        f"{FORM_TYPE}; charset=iso-8859-1",
        f"{FORM_TYPE}; charset=utf-8; charset=latin-1",
        f"{FORM_TYPE}, application/json",
    ):
        assert code_of(send(formed, profile(), content_type)) == (415, "wrong-content-type")
    set_format({**FORMAT, "content_types": ["application/json"]})
    assert code_of(send(formed, profile())) == (415, "wrong-content-type")
    assert Receipt.objects.count() == 2
    assert set(Refusal.objects.values_list("code", flat=True)) == {"wrong-content-type"}


def test_a_source_can_accept_both_and_reads_each_as_what_it_is(formed: Hub) -> None:
    set_format(FORMAT | {"content_types": [FORM_TYPE, "application/json"]})
    assert send(formed, profile(id="1")).status_code == 200
    body = json.dumps(profile(id="2")).encode()
    assert send(formed, body, "application/json").status_code == 200
    assert code_of(send(formed, body)) == (400, "not-form")
    assert code_of(send(formed, profile(id="3"), "application/json; charset=utf-8")) == (400, "not-json")
    assert Event.objects.count() == 2


def test_a_hostile_form_is_refused_with_a_reason_and_not_lost(formed: Hub) -> None:
    many_fields = b"&".join([b"type=profile", *(b"f%d=1" % number for number in range(10_000))])[:60_000]
    hostile = [
        (b"", 400, "not-form"),
        (b"type=profile&user=%4", 400, "not-form"),
        (b"type=profile&user=a&password=in-clear%", 400, "not-form"),
        (b"type=profile&user=%ff", 400, "wrong-encoding"),
        (b"type=profile&user=a&password=x&pass%77ord=in-clear", 400, "duplicate-member"),
        (many_fields, 413, "too-many-fields"),
        (b"type=profile&user=" + b"a" * 60_000, 400, "wrong-id"),
        (b"type=profile&user[id]=ANNA", 400, "missing-member"),
        (b"user=ANNA", 400, "missing-member"),
        (b"type=profile&user=ANNA&id=%0A", 400, "wrong-event-id"),
    ]
    for body, status, code in hostile:
        assert code_of(send(formed, body)) == (status, code)
    assert Receipt.objects.count() == len(hostile)
    # What was not read at all has no receipt.
    assert code_of(send(formed, b"type=profile&user=" + b"a" * 70_000)) == (413, "too-large")
    assert Receipt.objects.count() == len(hostile)
    assert not Event.objects.exists()
    assert "in-clear" not in "".join(bodies())


def test_nothing_of_a_form_is_stored_if_what_must_be_dropped_cannot_be_found(formed: Hub) -> None:
    for body in (b"user=a&password=in-clear&x=%", b"user=a&password=in-clear&user=b"):
        assert send(formed, body).status_code == 400
    assert bodies() == ["", ""]
    # It can be found in this one, which lacks a field.
    assert code_of(send(formed, {"user": "a b", "password": "in-clear"})) == (400, "wrong-id")
    assert bodies()[2] == "user=a+b"


AUTH_TOKEN = "an-auth-token-of-thirty-two-chars"
ADDRESS = "https://hub.example.org/webhooks/aurora-unsigned"


def sign_address_and_content(signed: list[str], **more: str) -> None:
    """Have the source verify an HMAC in hex of these parts."""
    source = Source.objects.get(slug="aurora-unsigned")
    source.scheme = "hmac"
    source.scheme_settings = {"header": "X-Signature", "signed": signed} | more
    source.webhook_format = FORMAT | {"content_types": [FORM_TYPE, "application/json"]}
    if "{fields}" in signed:
        with pytest.raises(ValidationError, match="content_types"):
            source.full_clean()
    source.webhook_format = FORMAT
    source.full_clean()
    source.save()
    SourceSecret.objects.create(source=source, value=AUTH_TOKEN, hint="test")
    find_source.invalidate()


def repeat_signed(hub: Hub, text: str, rest: str, body: str) -> int:
    """Send a body with the signature of a text, to the address of the source and the rest of it. Returns the status."""
    signature = hmac.digest(AUTH_TOKEN.encode(), text.encode(), "sha256").hex()
    path, headers = f"/webhooks/aurora-unsigned{rest}", {"X-Signature": signature}
    return hub.client.generic(
        "POST", path, body.encode(), content_type=FORM_TYPE, headers=headers
    ).status_code


def as_signed(fields: dict[str, str]) -> str:
    return "".join(name + fields[name] for name in sorted(fields))


@pytest.mark.submission
def test_a_repeated_form_cannot_move_a_part_of_itself_into_the_address(hub: Hub, settings: Any) -> None:
    settings.PUBLIC_URL = "https://hub.example.org"
    sign_address_and_content(["{url}", "{fields}"], query="a=1")
    fields = {"a-warning": "do-not", **profile()}
    text = f"{ADDRESS}?a=1{as_signed(fields)}"
    assert repeat_signed(hub, text, "?a=1", urlencode(fields)) == 200
    for changed in (fields | {"user": "OTHER"}, {**fields, "more": ""}, {"type": "profile"}):
        assert repeat_signed(hub, text, "?a=1", urlencode(changed)) == 401
    assert repeat_signed(hub, text, "?a=2", urlencode(fields)) == 401
    Refusal.objects.all().delete()
    refusals.reset_counts()
    # The first field of the sender in the query, and the others alone in the form.
    assert repeat_signed(hub, text, "?a=1a-warningdo-not", urlencode(profile())) == 401
    # The other way: the query in the first field.
    assert repeat_signed(hub, text, "", urlencode({"?a=1a-warning": "do-not", **profile()})) == 401
    assert set(Refusal.objects.values_list("reason", flat=True)) == {"wrong-query"}


def test_an_address_without_a_query_ends_where_its_path_ends(hub: Hub, settings: Any) -> None:
    settings.PUBLIC_URL = "https://hub.example.org"
    sign_address_and_content(["{url}", "{fields}"])
    # Fields whose names go on as an address could.
    for first, rest in (("?b", "?b1"), ("/note", "/")):
        fields = {first: "1", **profile()}
        text = f"{ADDRESS}{as_signed(fields)}"
        moved = {"note": "1", **profile()} if rest == "/" else profile()
        statuses = [
            repeat_signed(hub, text, "", urlencode(fields)),
            repeat_signed(hub, text, rest, urlencode(moved)),
        ]
        assert statuses.count(200) == 1, "one of the two at most"


@pytest.mark.parametrize(("field", "has_json"), [("token", False), ("payload.token", True)])
def test_a_secret_in_a_form_is_verified_and_not_stored(hub: Hub, field: str, has_json: bool) -> None:
    secret = 'a-token-of "thirty-two" + characters/é'
    source = Source.objects.get(slug="aurora-unsigned")
    source.scheme, source.scheme_settings = "body-secret", {"field": field}
    source.webhook_format = FORMAT | ({"json_fields": ["payload"]} if has_json else {})
    source.webhook_format |= {"id": "event.payload.user"} if has_json else {}
    source.full_clean()
    source.save()
    SourceSecret.objects.create(source=source, value=secret, hint="test")
    find_source.invalidate()

    def form_with(token: str) -> dict[str, str]:
        inner = {"user": ANNA, "token": token, "note": f"again: {token}"}
        fields = {"payload": json.dumps(inner)} if has_json else {"token": token, "note": f"again: {token}"}
        return profile(again=json.dumps({"repeated": token}).replace("/", "\\/"), **fields)

    assert code_of(send(hub, form_with("another-token-of-thirty-two-chars"))) == (401, "bad-signature")
    assert not Receipt.objects.exists()
    answer = send(hub, form_with(secret))
    assert answer.status_code == 200, answer.content
    [stored] = documents()
    event = stored["event"]
    note = event["payload"]["note"] if has_json else event["note"]
    assert (note, event["again"]) == ("again: ***", '{"repeated": "***"}')
    assert "token" not in (event["payload"] if has_json else event)
    assert "thirty-two" not in "".join(bodies())


def test_events_in_a_json_field_are_read_one_by_one_without_what_is_dropped(formed: Hub) -> None:
    set_format(LISTED)

    def event(number: int) -> dict[str, Any]:
        message = {"metadata": {"user_id": number}, "password": "in-clear", "subject": "Ä & ö"}
        return {"event": "hard_bounce", "ts": 1384954004, "_id": f"e{number}", "msg": message}

    sent = json.dumps(
        [event(1), event(2), {"event": "hard_bounce", "_id": "e3", "msg": {"password": "in-clear"}}]
    )
    answer = send(formed, {"mandrill_events": sent})
    assert answer.status_code == 200, answer.content
    assert [result["status"] for result in answer.json()["results"]] == ["ignored", "ignored", "refused"]
    assert [stored["event"]["msg"]["subject"] for stored in documents()] == ["Ä & ö"] * 2
    assert len(bodies()) == 3
    assert "in-clear" not in "".join(bodies())
    single = send(formed, {"mandrill_events": json.dumps([event(4)])})
    assert single.status_code == 200, single.content
    assert documents()[2]["body"] == {"mandrill_events": [documents()[2]["event"]]}
    assert "in-clear" not in "".join(bodies())


def test_a_form_that_cannot_be_used_is_stored_as_a_form_without_what_is_dropped(formed: Hub) -> None:
    set_format(LISTED | {"events": "body.absent"})
    sent = json.dumps([{"event": "x", "msg": {"password": "in-clear", "note": "kept"}}])
    assert code_of(send(formed, {"mandrill_events": sent, "v": "1"})) == (400, "wrong-events")
    kept = json.dumps([{"event": "x", "msg": {"note": "kept"}}], separators=(",", ":"))
    assert bodies() == [urlencode({"mandrill_events": kept, "v": "1"})]


def test_an_erasure_finds_an_id_in_a_form_however_it_is_escaped(formed: Hub) -> None:
    with transaction.atomic():
        Source.objects.update(extra_id_characters="@+")
    find_source.invalidate()
    person = "anna+1@example.org"
    inner = json.dumps({"id": person}).replace("+", "\\u002b").replace("@", "\\u0040")
    for body in (f"who={quote(person)}", f"who={person.replace('+', '%2b')}", urlencode({"payload": inner})):
        assert send(formed, body.encode()).status_code == 400
    assert send(formed, b"who=somebody-else").status_code == 400
    assert erase_unusable_bodies(person, "") == 3
    assert bodies() == ["who=somebody-else"]
