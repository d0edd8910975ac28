"""The general HMAC with what vendors send: recorded or computed vectors, and tampered variants of each."""

import base64
import json
import random
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.rows import each_row
from webhooks.protocol.hmac_rule import compute_hmac
from webhooks.protocol.schemes import check_secret, check_settings
from webhooks.protocol.signatures import BadSignature, LiveSecret, VerifiedSignature, verify_signature
from webhooks.protocol.strict_form import FORM_TYPE

pytestmark = pytest.mark.pure

SEED = b'{"id":"IDNUMBER1234","entityType":"USER","eventType":"UPDATE","timestamp":"2019-01-01T00:00:00Z"}'
SEED_TIME = datetime.fromtimestamp(1546300800, UTC)
SECONDS_HEX = "0cc39a97781592556bbae340772808f82fffc9b08ebab04ac518a7b44078ad29"
TIMED = ["{time}", ".", "{body}"]


@dataclass(frozen=True)
class Sent:
    """A request and the settings that verify it."""

    settings: dict[str, Any]
    headers: dict[str, str]
    secret: str = "hubsecret"
    body: bytes = SEED
    now: datetime = SEED_TIME
    url: str = "https://hub.example/in/x"
    method: str = "POST"

    def verify(self) -> VerifiedSignature:
        return verify_signature(
            "hmac",
            settings=self.settings,
            secrets=[LiveSecret(1, "another-secret-of-the-source"), LiveSecret(2, self.secret)],
            headers=self.headers,
            body=self.body,
            now=self.now,
            method=self.method,
            url=lambda: self.url,
        )


def read_vector(vector: dict[str, Any]) -> Sent:
    values = {name: value for name, value in vector.items() if name not in ("source", "unsigned")}
    if "body" in values:
        values["body"] = values["body"].encode()
    if "now" in values:
        values["now"] = datetime.fromisoformat(values["now"])
    return Sent(**values)


RECORDED = json.loads(Path(__file__).with_name("hmac_vectors.json").read_text("utf-8"))
VECTORS = {name: read_vector(vector) for name, vector in RECORDED.items()}


@each_row(VECTORS)
def test_settings_alone_verify_what_the_vendor_sends(name: str) -> None:
    sent = VECTORS[name]
    check_settings("hmac", sent.settings)
    found = sent.verify()
    assert found.secret_id == 2
    assert found.webhook_timestamp == (sent.now if "{time}" in sent.settings.get("signed", ()) else None)
    assert found.webhook_id == sent.headers.get("webhook-id")


def replace_character(text: str, at: int, choose: random.Random) -> str:
    others = [character for character in "0123456789abcdefgxyz" if character != text[at].lower()]
    return text[:at] + choose.choice(others) + text[at + 1 :]


def tamper(sent: Sent, name: str, choose: random.Random) -> Sent:
    """Return the request with one character of its body, of a header or of its address changed."""
    kinds = ["body", "header", "cut", "secret"]
    if "{url}" in sent.settings.get("signed", ()):
        kinds += ["url"]
    if "{method}" in sent.settings.get("signed", ()):
        kinds += ["method"]
    kind = choose.choice(kinds)
    if kind == "body":
        at = choose.randrange(len(sent.body))
        return replace(sent, body=sent.body[:at] + bytes([sent.body[at] ^ 1]) + sent.body[at + 1 :])
    if kind == "secret":
        start = 6 if sent.secret.startswith("whsec_") else 0
        return replace(
            sent, secret=replace_character(sent.secret, choose.randrange(start, len(sent.secret) - 2), choose)
        )
    if kind == "url":
        return replace(sent, url=replace_character(sent.url, choose.randrange(len(sent.url)), choose))
    if kind == "method":
        return replace(sent, method=choose.choice(["GET", "PUT", "post", ""]))
    header = choose.choice(list(sent.headers))
    # Not `v0`, which nobody signs, and not the other signatures of a list.
    text = sent.headers[header].replace(RECORDED[name].get("unsigned", "\0"), "")
    # The last character of base64 has bits that no byte uses, and padding may be left out.
    at = choose.randrange(len(text) - 3)
    changed = text[:at] if kind == "cut" else replace_character(text, at, choose)
    return replace(sent, headers={**sent.headers, header: changed})


@pytest.mark.promise("I16", "T1")
@each_row([(name, number) for name in VECTORS for number in range(30)])
def test_a_tampered_request_is_refused(name: str, number: int) -> None:
    sent = tamper(VECTORS[name], name, random.Random(f"{name} {number}"))
    with pytest.raises(BadSignature):
        sent.verify()


@each_row(
    [
        ("application/json", None),
        (FORM_TYPE, b""),
        (FORM_TYPE, b"a=%"),
        (FORM_TYPE, b"a=1&a=1"),
        (FORM_TYPE, b"&".join(b"f%d" % number for number in range(10_000))),
    ]
)
def test_fields_are_signed_only_in_a_valid_form(content_type: str, body: bytes | None) -> None:
    sent = VECTORS["Twilio"]
    headers = sent.headers | {"content-type": content_type}
    with pytest.raises(BadSignature) as refused:
        replace(sent, headers=headers, body=sent.body if body is None else body).verify()
    assert refused.value.reason == "malformed-body"


def test_signed_fields_may_come_in_any_order_and_their_borders_are_not_signed() -> None:
    """The second is why the reference advises to sign the body where the sender offers it."""
    sent = VECTORS["Twilio"]
    pairs = sent.body.split(b"&")
    assert replace(sent, body=b"&".join(reversed(pairs))).verify().secret_id == 2
    assert replace(sent, body=sent.body.replace(b"Digits=1234", b"Digits1=234")).verify().secret_id == 2


def test_a_signed_body_cannot_move_into_the_query_as_a_whole() -> None:
    """A source may accept empty bodies."""
    sent = VECTORS["HubSpot v3"]
    sent = replace(sent, url=f"{sent.url}?a=1")
    text = f"POST{sent.url}".encode() + sent.body + sent.headers["x-hubspot-request-timestamp"].encode()
    signature = base64.b64encode(compute_hmac(sent.secret.encode(), text, "sha256")).decode()
    sent = replace(sent, headers=sent.headers | {"x-hubspot-signature-v3": signature})
    assert sent.verify().secret_id == 2
    with pytest.raises(BadSignature) as refused:
        replace(sent, url=sent.url + sent.body.decode(), body=b"").verify()
    assert refused.value.reason == "wrong-query"


def test_an_id_directly_after_the_address_cannot_begin_in_the_query() -> None:
    """A shorter id would make a new event of a request that is repeated."""
    url = "https://hub.example/in/x"
    settings = {"header": "X-Sig", "signed": ["{url}", "{id}", ".", "{body}"], "id_header": "X-Id"}

    def send(settings: dict[str, Any], query: str, webhook_id: str) -> VerifiedSignature:
        signature = compute_hmac(b"hubsecret", f"{url}?a=1msg7.".encode() + SEED, "sha256").hex()
        return Sent(settings, {"x-sig": signature, "x-id": webhook_id}, url=f"{url}?{query}").verify()

    assert send(settings | {"query": "a=1"}, "a=1", "msg7").webhook_id == "msg7"
    for query in ({}, {"query": "a=1"}):
        with pytest.raises(BadSignature) as refused:
            send(settings | query, "a=1msg", "7")
        assert refused.value.reason == "wrong-query"


@pytest.mark.promise("T2")
@each_row(
    [
        (["{url}", ".", "{id}", "|", "{body}"], ("?a=1", "b.7", SEED), ("?a=1.b", "7", SEED)),
        (["{url}", ".", "-", "{id}", "|", "{body}"], ("?a=1.-b", "7", SEED), ("?a=1", "b.-7", SEED)),
        (["{url}", "..", "{id}", "|", "{body}"], ("?a=1", ".7", SEED), ("?a=1.", "7", SEED)),
        (["{id}", "{body}"], ("", "msg1", b"a=0&b=2"), ("", "msg1a=0&", b"b=2")),
        (["{id}", "{body}"], ("", "msg1", b""), ("", "msg", b"1")),
        (["{id}", "{fields}"], ("", "msg1", b"a=0&b=2"), ("", "msg1a0", b"b=2")),
        (["{body}", "{id}"], ("", "msg1", b"b=2"), ("", "2msg1", b"b=")),
        (["{body}", ".", "{id}"], ("", "msg.1", b"b=2"), ("", "1", b"b=2.msg")),
    ]
)
def test_no_request_can_be_repeated_with_another_id(
    signed: list[str], true: tuple[str, str, bytes], forged: tuple[str, str, bytes]
) -> None:
    """Both have the same signed text, so neither is accepted unless the settings name the query."""
    url = "https://hub.example/in/x"
    settings = {"header": "X-Sig", "signed": signed, "id_header": "X-Id"}

    def send(webhook: tuple[str, str, bytes], settings: dict[str, Any]) -> Sent:
        query, webhook_id, body = webhook
        fields = body.replace(b"=", b"").replace(b"&", b"")
        values = {
            "{url}": f"{url}{query}".encode(),
            "{id}": webhook_id.encode(),
            "{body}": body,
            "{fields}": fields,
        }
        text = b"".join(values.get(part, part.encode()) for part in signed)
        signature = compute_hmac(b"hubsecret", text, "sha256").hex()
        headers = {"x-sig": signature, "x-id": webhook_id}
        if body != SEED:
            headers["content-type"] = FORM_TYPE
        return Sent(settings, headers, body=body, url=url + query)

    assert send(true, settings).headers["x-sig"] == send(forged, settings).headers["x-sig"]
    for webhook in (true, forged):
        with pytest.raises(BadSignature) as refused:
            send(webhook, settings).verify()
        assert refused.value.reason in ("wrong-query", "malformed-body")
    if true[0]:
        named = settings | {"query": true[0].removeprefix("?")}
        assert send(true, named).verify().webhook_id == true[1]
        with pytest.raises(BadSignature):
            send(forged, named).verify()


@each_row(["", "?a=1"])
def test_an_id_without_its_separator_needs_no_query_in_the_settings(query: str) -> None:
    url = f"https://hub.example/in/x{query}"
    settings = {"header": "X-Sig", "signed": ["{url}", ".", "{id}", "|", "{body}"], "id_header": "X-Id"}
    signature = compute_hmac(b"hubsecret", f"{url}.msg-7|".encode() + SEED, "sha256").hex()
    sent = Sent(settings, {"x-sig": signature, "x-id": "msg-7"}, url=url)
    assert sent.verify().webhook_id == "msg-7"


def test_the_last_digit_of_a_form_cannot_move_into_the_time() -> None:
    settings = {"header": "X-Sig", "signed": ["{body}", "{time}"], "time_header": "X-Time"}
    signature = compute_hmac(b"hubsecret", b"amount=10" + b"1546300800", "sha256").hex()
    headers = {"x-sig": signature, "x-time": "1546300800", "content-type": FORM_TYPE}
    sent = Sent(settings, headers, body=b"amount=10")
    assert sent.verify().secret_id == 2
    with pytest.raises(BadSignature) as refused:
        replace(sent, headers=headers | {"x-time": "01546300800"}, body=b"amount=1").verify()
    assert refused.value.reason == "malformed-timestamp"


def test_no_character_can_move_between_a_time_of_rfc_3339_and_its_neighbours() -> None:
    signed = ["{id}", "{time}", "{body}"]
    settings = {"header": "X-Sig", "signed": signed, "id_header": "X-Id", "time_header": "X-Time"}
    for at in ("2019-01-01T00:00:00Z", "2019-01-01T00:00:00.123456789Z", "2019-01-01T02:00:00+02:00"):
        text = f"u-1{at}".encode() + b'{"id": 1}'
        headers = {"x-sig": compute_hmac(b"hubsecret", text, "sha256").hex(), "x-id": "u-1", "x-time": at}
        sent = Sent({**settings, "unit": "rfc3339"}, headers, body=b'{"id": 1}')
        assert sent.verify().webhook_id == "u-1"
        for webhook_id, moved, body in (
            ("u-", f"1{at}", sent.body),
            (f"u-1{at[:1]}", at[1:], sent.body),
            ("u-1", at[:-1], at[-1:].encode() + sent.body),
            ("u-1", at + "{", sent.body[1:]),
        ):
            changed = {**headers, "x-id": webhook_id, "x-time": moved}
            with pytest.raises(BadSignature) as refused:
                replace(sent, headers=changed, body=body).verify()
            assert refused.value.reason == "malformed-timestamp"


@each_row(
    [
        "2019-01-01T00:00:00",
        "2019-01-01 00:00:00Z",
        "2019-02-30T00:00:00Z",
        "1546300800",
        "２019-01-01T00:00:00Z",
    ]
)
def test_a_time_that_is_not_of_rfc_3339_is_refused(text: str) -> None:
    sent = VECTORS["Box"]
    with pytest.raises(BadSignature) as refused:
        replace(sent, headers={**sent.headers, "box-delivery-timestamp": text}).verify()
    assert refused.value.reason == "malformed-timestamp"


@each_row(
    [(name, 180 if name == "WorkOS" else 300) for name in VECTORS if VECTORS[name].verify().webhook_timestamp]
)
def test_a_time_counts_up_to_the_end_of_its_window(name: str, seconds: int) -> None:
    sent = VECTORS[name]
    for inside in (-seconds, seconds):
        assert replace(sent, now=sent.now + timedelta(seconds=inside)).verify().secret_id == 2
    for outside in (-seconds - 1, seconds + 0.001, 86_400):
        with pytest.raises(BadSignature):
            replace(sent, now=sent.now + timedelta(seconds=outside)).verify()


@each_row(
    [
        # What a server makes of a header that is sent twice.
        f"t=1546300800,v1={SECONDS_HEX},t=1546300800,v1={SECONDS_HEX}",
        f"v1={SECONDS_HEX}",
        f"T=1546300800,v1={SECONDS_HEX}",
        "t=1546300800",
        "t=1546300800,v1=",
        f"t=1546300800,{'v1=0,' * 16}v1={SECONDS_HEX}",
        f"t=1546300800;v1={SECONDS_HEX}",
        "",
    ]
)
def test_a_header_with_other_members_is_refused(header: str) -> None:
    with pytest.raises(BadSignature):
        replace(VECTORS["Stripe"], headers={"stripe-signature": header}).verify()


def test_an_id_must_not_contain_what_ends_it() -> None:
    """The text `a.b.TIME.BODY` would be signed for the id `a` with another time, too."""
    signed = ["{id}", ".", "{time}", ".", "{body}"]
    settings = {"header": "X-Sig", "signed": signed, "id_header": "X-Id", "time_header": "X-Time"}
    for webhook_id in ("msg1", "msg.1"):
        text = f"{webhook_id}.1546300800.".encode() + SEED
        headers = {"x-sig": compute_hmac(b"hubsecret", text, "sha256").hex(), "x-id": webhook_id}
        sent = Sent(settings, headers | {"x-time": "1546300800"})
        with nullcontext() if webhook_id == "msg1" else pytest.raises(BadSignature):
            assert sent.verify().webhook_id == "msg1"


def test_a_signed_address_needs_the_address_of_the_hub() -> None:
    with pytest.raises(BadSignature, match="PUBLIC_URL"):
        replace(VECTORS["HubSpot v3"], url="").verify()


def test_settings_that_became_invalid_verify_nothing() -> None:
    for settings in ({}, {"header": "X-Keycloak-Signature", "algorithm": "none"}, {"header": 1}):
        with pytest.raises(BadSignature):
            replace(VECTORS["Keycloak"], settings=settings).verify()


@each_row(["", "whsec_", "!", "whsec_é"])
def test_a_secret_that_is_no_base64_matches_nothing(secret: str) -> None:
    with pytest.raises(BadSignature):
        replace(VECTORS["Standard Webhooks"], secret=secret).verify()
    with pytest.raises(ValueError, match="base64"):
        check_secret("hmac", secret, {"header": "X", "secret": "base64"})


@each_row(
    [
        ({"signed": ["{time}"]}, "must contain {body}"),
        ({"signed": ["{body}", "{body}"]}, "must contain {body} once"),
        ({"signed": ["{body}", "{fields}"]}, "must contain {body} once"),
        ({"signed": []}, "list of 1 to 16"),
        ({"signed": ["{body}"] * 17}, "list of 1 to 16"),
        ({"signed": ["{body}", "{secret}"]}, "without braces"),
        ({"signed": ["{body}", "x" * 65]}, "without braces"),
        ({"signed": TIMED}, "required, because {time} is signed"),
        ({"signed": ["{id}", "{body}"]}, "required, because {id} is signed"),
        ({"time_header": "X-Time"}, "must contain {time}"),
        ({"id_header": "X-Id"}, "must contain {id}"),
        ({"signed": ["{time}", *TIMED], "time": "t"}, "only once"),
        ({"algorithm": "md5"}, "one of"),
        ({"window": 0}, "whole number"),
        ({"window": 3601}, "whole number"),
        ({"header": "X_Signature"}, "without an underscore"),
        ({"query": "a=1"}, "signed text with {url}"),
        ({"signed": ["{url}", "{body}"], "query": "?a=1"}, "without the question mark"),
        ({"signed": ["{url}", "{body}"], "query": "a=1#b"}, "query of an address"),
        ({"signed": ["{url}", "/", "{body}"]}, "begin with a slash"),
        ({"unknown": 1}, "Unknown field"),
    ]
)
def test_settings_that_prove_nothing_are_refused_when_saved(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        check_settings("hmac", {"header": "X-Signature"} | changes)
