"""Verification over HTTP: published vectors, the Standard Webhooks package as a client, secrets in rotation.

No source here has a route, so a webhook that is believed ends as `ignored`.
"""

import base64
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from django.http import HttpResponse
from django.test import Client, override_settings
from django.utils import timezone
from standardwebhooks.webhooks import Webhook

from tests.support.hub import EXAMPLE, SIGNING_SECRET, new_sealing_key, signature_headers
from webhooks.models import Event, Receipt, Source, SourceSecret
from webhooks.secret_rotation import rebind_secrets

pytestmark = pytest.mark.usefixtures("database")

CLIENT = Client(raise_request_exception=False)
OTHER_SECRET = "whsec_" + base64.b64encode(b"another key of thirty-two bytes!").decode()
TOKEN = "a-token-of-twenty-seven-chs"


def a_source(scheme: str, *secrets: str, **settings: str) -> Source:
    source = Source.objects.create(slug="sender", name="Sender", scheme=scheme, scheme_settings=settings)
    for secret in secrets:
        SourceSecret.objects.create(source=source, value=secret, hint=secret[-4:])
    return source


def post(headers: Mapping[str, str], body: bytes = EXAMPLE, slug: str = "sender") -> HttpResponse:
    return CLIENT.post(f"/webhooks/{slug}", body, content_type="application/json", headers=dict(headers))


def assert_believed(answer: HttpResponse) -> None:
    assert (answer.status_code, answer.json()["status"]) == (200, "ignored")


def assert_refused(answer: HttpResponse) -> None:
    assert (answer.status_code, answer.json()["code"]) == (401, "bad-signature")
    assert "reference" not in answer.json()


def package(
    body: bytes, *, name: str = "msg_1", at: datetime | None = None, secret: str = SIGNING_SECRET
) -> dict[str, str]:
    """Return the headers of the reference package."""
    moment = at or datetime.now(UTC)
    signature = Webhook(secret).sign(name, moment, body.decode())
    seconds = str(int(moment.timestamp()))
    return {"webhook-id": name, "webhook-timestamp": seconds, "webhook-signature": signature}


def test_the_standard_webhooks_package_is_accepted_as_a_client() -> None:
    source = a_source("standard-webhooks", SIGNING_SECRET)
    body = json.dumps(json.loads(EXAMPLE) | {"name": "Ääkkönen"}, ensure_ascii=False).encode()
    assert_believed(post(package(body), body))
    headers = package(EXAMPLE, name="msg_2")
    svix = {name.replace("webhook-", "svix-"): value for name, value in headers.items()}
    assert_believed(post(svix))
    assert_refused(post({**headers, "webhook-id": "", "svix-id": "msg_2"}))
    # Other bytes of the same meaning are not what was signed.
    assert_refused(post(package(EXAMPLE), json.dumps(json.loads(EXAMPLE)).encode()))
    assert_refused(post(package(EXAMPLE), EXAMPLE + b"\n"))
    receipt = Receipt.objects.earliest("pk")
    assert receipt.verified_by == f"standard-webhooks:{source.secrets.get().pk}"
    assert receipt.event is not None
    assert receipt.event.event_id == "msg_1"


def test_in_a_rotation_both_secrets_are_valid_until_the_time_of_the_old_one_has_ended() -> None:
    source = a_source("standard-webhooks", SIGNING_SECRET, OTHER_SECRET)
    old = source.secrets.filter(hint=SIGNING_SECRET[-4:])
    old.update(ends_at=timezone.now() + timedelta(hours=1))
    for secret in (SIGNING_SECRET, OTHER_SECRET):
        assert_believed(post(package(EXAMPLE, name=f"msg_{secret[6:9]}", secret=secret)))
        used = next(stored for stored in source.secrets.all() if stored.value == secret)
        assert Receipt.objects.latest("pk").verified_by == f"standard-webhooks:{used.pk}"
    old.update(ends_at=timezone.now() - timedelta(seconds=1))
    assert_refused(post(package(EXAMPLE)))
    assert_believed(post(package(EXAMPLE, secret=OTHER_SECRET)))


def test_a_source_without_a_secret_accepts_no_request() -> None:
    source = a_source("standard-webhooks")
    for scheme in ("standard-webhooks", "body-hmac", "bearer", "basic", "header"):
        header = {"header": "X-Proof"} if scheme in ("body-hmac", "header") else {}
        Source.objects.filter(pk=source.pk).update(scheme=scheme, scheme_settings=header)
        for value in ("", "Bearer ", "Basic ", "Basic Og==", "v1,"):
            proof = {"Authorization": value, "X-Proof": value}
            assert_refused(post(signature_headers(EXAMPLE, "msg_1") | proof))


def test_a_secret_of_another_scheme_proves_nothing() -> None:
    """The public half of a sender's key is not accepted as a token once the source is verified by one."""
    public = "whpk_" + base64.b64encode(bytes(range(32))).decode()
    source = a_source("standard-webhooks", public)
    former, source.scheme = Source.objects.get(pk=source.pk), "bearer"
    source.save()
    rebind_secrets(former, source)
    assert_refused(post({"Authorization": f"Bearer {public}"}))
    SourceSecret.objects.create(source=source, value=TOKEN, hint=TOKEN[-4:])
    assert_believed(post({"Authorization": f"Bearer {TOKEN}"}))


def test_a_process_without_the_encryption_key_of_a_secret_asks_the_sender_to_retry() -> None:
    a_source("standard-webhooks", SIGNING_SECRET)
    with override_settings(SEALING_KEYS=[new_sealing_key()]):
        answer = post(package(EXAMPLE))
    assert (answer.status_code, answer.json()["code"]) == (503, "storage-unavailable")
    assert int(answer["Retry-After"]) > 0
    assert_believed(post(package(EXAMPLE)))


@pytest.mark.promise("T21")
def test_every_refusal_is_the_same_answer_whatever_the_reason() -> None:
    source = a_source("standard-webhooks", SIGNING_SECRET)
    old = datetime.now(UTC) - timedelta(hours=1)
    attempts = [
        {},
        package(EXAMPLE, at=old),
        package(EXAMPLE, secret=OTHER_SECRET),
        package(EXAMPLE) | {"webhook-signature": "v1,"},
        package(EXAMPLE) | {"webhook-timestamp": "soon"},
        package(EXAMPLE) | {"webhook-id": ""},
        package(EXAMPLE) | {"webhook-signature": "v1,ä" + "A" * 500},
    ]
    answers = [post(headers) for headers in attempts]
    for scheme, settings in [
        ("body-hmac", {"header": "X-A"}),
        ("bearer", {}),
        ("basic", {}),
        ("header", {"header": "X-A"}),
    ]:
        Source.objects.filter(pk=source.pk).update(scheme=scheme, scheme_settings=settings)
        answers += [post({}), post({"X-A": "wrong", "Authorization": "Bearer wrong"})]
    ids = [answer.headers.pop("X-Request-Id") for answer in answers]
    assert len(set(ids)) == len(ids)
    assert {(answer.status_code, answer.content, str(answer.headers)) for answer in answers} == {
        (401, answers[0].content, str(answers[0].headers))
    }
    assert Receipt.objects.count() == 0


@pytest.mark.promise("I16", "T2", "I8")
def test_a_captured_request_sent_ten_times_makes_one_event() -> None:
    a_source("standard-webhooks", SIGNING_SECRET)
    headers = package(EXAMPLE)
    answers = {post(headers).content for _ in range(10)}
    assert len(answers) == 1
    assert Receipt.objects.count() == 10
    assert Receipt.objects.filter(is_repeat=False).count() == 1


# How a request is verified, without an id that it signs: scheme, secret, settings, headers.
UNSIGNED_IDS: dict[str, tuple[str, tuple[str, ...], dict[str, str], dict[str, str]]] = {
    "none": ("none", (), {}, {}),
    "header": ("header", (TOKEN,), {"header": "X-Token"}, {"X-Token": TOKEN}),
    "bearer": ("bearer", (TOKEN,), {}, {"Authorization": f"Bearer {TOKEN}"}),
    "body-hmac": (
        "body-hmac",
        ("hubsecret" * 4,),
        {"header": "X-Signature"},
        {"X-Signature": hmac.new(b"hubsecret" * 4, EXAMPLE, "sha256").hexdigest()},
    ),
}


def send_with_id(scheme: str, name: str, body: bytes = EXAMPLE) -> HttpResponse:
    return post(UNSIGNED_IDS[scheme][3] | {"webhook-id": name}, body)


@pytest.mark.promise("T2")
@pytest.mark.parametrize("scheme", UNSIGNED_IDS)
def test_an_id_in_a_header_that_is_not_signed_makes_no_repeat_and_no_conflict(scheme: str) -> None:
    name, secrets, settings, _ = UNSIGNED_IDS[scheme]
    a_source(name, *secrets, **settings)
    first, again = send_with_id(scheme, "msg_1"), send_with_id(scheme, "msg_1")
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["reference"] != again.json()["reference"]
    # Not even if no id may look like that.
    for strange in ("a b", "ä", "x" * 256):
        assert_believed(send_with_id(scheme, strange))
    assert not Receipt.objects.filter(is_repeat=True).exists()
    assert set(Event.objects.values_list("event_id", flat=True)) == {None}


def test_the_id_in_the_body_counts_where_the_header_does_not() -> None:
    name, secrets, settings, headers = UNSIGNED_IDS["bearer"]
    a_source(name, *secrets, **settings)
    body = json.dumps({**json.loads(EXAMPLE), "eventId": "own-1"}).encode()
    answers = [post(headers | {"webhook-id": f"msg_{number}"}, body).json() for number in range(2)]
    assert answers[0]["reference"] == answers[1]["reference"]
    assert Event.objects.get().event_id == "own-1"
