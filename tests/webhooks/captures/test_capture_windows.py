"""A capture window stores at most 50 requests for 60 minutes; outside of it nothing of a body is stored."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils.module_loading import import_string

from database.encryption.at_rest import CannotDecrypt
from tests.support.hub import EXAMPLE, Hub, signature_headers
from tests.support.people import entries
from tests.support.rows import each_row
from webhooks.captures import capture_windows
from webhooks.captures.capture_windows import (
    clean_up_captures,
    close_window,
    decrypt_captured_request,
    list_captured_requests,
    open_window,
)
from webhooks.captures.masked_headers import MASK, mask_headers
from webhooks.models import CapturedRequest, CaptureWindow, Event, Source, source_key
from webhooks.receiving import refusals
from webhooks.receiving.source_cache import find_source

pytestmark = pytest.mark.usefixtures("hub")
NOW = datetime.now(UTC)
CANARY = b"canary-of-a-body-3f1a"
BODY = b'{"id":"' + CANARY + b'"}'


@pytest.fixture(autouse=True)
def _fixed_clock_and_empty_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Of this test, not of the import: signatures are made by the real clock, and hold for five minutes.
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC))
    set_clock(monkeypatch, NOW)
    forget()
    yield
    forget()
    refusals.reset_counts()


def forget() -> None:
    find_source.invalidate()
    capture_windows._list_recently_kept.invalidate()


def set_clock(monkeypatch: pytest.MonkeyPatch, at: datetime) -> None:
    monkeypatch.setattr("webhooks.receiving.incoming_request.timezone", SimpleNamespace(now=lambda: at))


def try_to_open(at: datetime, slug: str = "aurora") -> CaptureWindow | None:
    with transaction.atomic():
        return open_window(Source.objects.get(slug=slug), at)


def open_now(at: datetime | None = None) -> CaptureWindow:
    window = try_to_open(at or NOW)
    assert window is not None
    forget()
    return window


def change_source(**values: object) -> None:
    Source.objects.filter(slug="aurora").update(**values)
    forget()


def send_unverified(hub: Hub, times: int = 1, body: bytes = BODY, **headers: str) -> None:
    for _ in range(times):
        answer = hub.post(body, "aurora", **headers)
        assert answer.status_code == 401


def send_verified(hub: Hub, times: int = 1) -> None:
    for _ in range(times):
        # No webhook, which would be delivered.
        assert hub.post_signed(b"[]").status_code == 400


def every_cell() -> Iterator[bytes]:
    """Yield the decrypted captures, and every other cell of this application's tables."""
    for model in apps.get_app_config("webhooks").get_models():
        for row in model._base_manager.all():
            for field in model._meta.concrete_fields:
                value = getattr(row, field.attname)
                yield bytes(value) if isinstance(value, memoryview | bytes) else str(value).encode()
    for row in CapturedRequest.objects.all():
        yield decrypt_captured_request(row)[1]


def stores_body() -> bool:
    return any(CANARY in cell for cell in every_cell())


@pytest.mark.promise("I6")
def test_without_a_window_of_its_source_no_body_is_stored(hub: Hub) -> None:
    Source.objects.create(slug="other", name="Other", scheme="bearer")
    assert try_to_open(NOW, "other") is not None
    send_unverified(hub, 3)
    assert not CapturedRequest.objects.exists()
    assert not stores_body()


@pytest.mark.promise("I6")
def test_an_unverified_request_is_stored_encrypted_with_its_reason_and_without_secrets_in_headers(
    hub: Hub,
) -> None:
    open_now()
    secret = "value-of-a-secret"
    hidden = {"authorization": f"Bearer {secret}", "cookie": f"a={secret}", "x-own-token": secret}
    send_unverified(hub, **signature_headers(BODY, "msg_1") | {"webhook-signature": f"v1,{secret}"} | hidden)
    row = CapturedRequest.objects.get()
    assert (row.reason, row.size, row.address) == ("wrong-signature", len(BODY), "127.0.0.1")
    assert (row.is_verified, row.stored_size, row.is_cut) == (False, len(BODY), False)
    assert CANARY not in bytes(row.encrypted)
    assert base64.b64encode(BODY) not in bytes(row.encrypted)
    headers, body = decrypt_captured_request(row)
    assert body == BODY
    assert headers["webhook-id"] == "msg_1"
    assert secret not in repr(headers)
    assert headers["x-own-token"] == f"{MASK} ({len(secret)})"
    assert headers["content-type"] == "application/json"


def test_verified_requests_are_captured_too_and_so_is_what_is_refused_before_its_signature(hub: Hub) -> None:
    """Those of other sources are not, and neither is a signature, with which a request could be sent again."""
    open_now()
    assert hub.post_signed(EXAMPLE).status_code < 300
    assert hub.post_signed(b"[]").status_code == 400
    assert hub.client.post("/webhooks/aurora", BODY, content_type="text/plain").status_code == 415
    assert hub.post(BODY, "nobody").status_code == 404
    rows = CapturedRequest.objects.order_by("pk")
    assert [(row.is_verified, row.reason) for row in rows] == [
        (True, ""),
        (True, ""),
        (False, "wrong-content-type"),
    ]
    assert decrypt_captured_request(rows[0])[1] == EXAMPLE
    assert all("v1," not in repr(decrypt_captured_request(row)[0]) for row in rows)


def test_a_request_of_a_source_that_verifies_nothing_counts_as_not_verified(hub: Hub) -> None:
    open_now()
    change_source(scheme="none", scheme_settings={})
    assert hub.post(EXAMPLE, "aurora").status_code < 300
    assert not CapturedRequest.objects.get().is_verified


@pytest.mark.promise("I1")
@pytest.mark.parametrize("error", [DatabaseError("x"), CannotDecrypt("x")], ids=["database", "key"])
def test_a_webhook_is_stored_although_it_cannot_be_captured(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    open_now()

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(capture_windows, "source_key", fail)
    assert hub.post_signed(EXAMPLE).status_code < 300
    send_unverified(hub)
    assert Event.objects.count() == 1
    assert not CapturedRequest.objects.exists()


def read_captures(hub: Hub, times: int) -> list[str]:
    """Send requests that are verified and others; return the statements that read or write captures for them, without
    the one that reads the source.
    """
    with CaptureQueriesContext(connection) as seen:
        send_verified(hub, times)
        send_unverified(hub, times)
    statements = [query["sql"] for query in seen.captured_queries]
    return [sql for sql in statements if "webhooks_captur" in sql and 'FROM "webhooks_source"' not in sql]


def test_without_an_open_window_no_statement_is_added(hub: Hub) -> None:
    assert read_captures(hub, 2) == []
    open_now()
    assert read_captures(hub, 1) != []
    CaptureWindow.objects.update(opened_at=NOW - timedelta(hours=2), ends_at=NOW - timedelta(hours=1))
    forget()
    assert read_captures(hub, 2) == []


@pytest.mark.submission
def test_neither_verified_nor_other_requests_take_all_places(hub: Hub) -> None:
    """Rubbish cannot crowd out the sender, nor can a busy sender hide what is refused."""
    open_now()
    send_unverified(hub, 52)
    assert CapturedRequest.objects.count() == 50
    first = CapturedRequest.objects.order_by("pk")[0]
    send_verified(hub, 27)
    send_unverified(hub, 2)
    kinds = list(CapturedRequest.objects.order_by("pk").values_list("is_verified", flat=True))
    assert kinds == [False] * 25 + [True] * 25
    assert CapturedRequest.objects.filter(pk=first.pk).exists()


@pytest.mark.submission
@override_settings(TRUSTED_PROXIES=1)
def test_one_address_cannot_take_all_places_of_unverified_requests(hub: Hub) -> None:
    open_now()
    send_unverified(hub, 50, **{"x-forwarded-for": "2001:db8::1"})
    send_unverified(hub, 2, **{"x-forwarded-for": "2001:db8::2"})
    send_unverified(hub, 30, **{"x-forwarded-for": "192.0.2.7"})
    addresses = list(CapturedRequest.objects.values_list("address", flat=True))
    assert addresses.count("2001:db8::1") == 25
    assert addresses.count("192.0.2.7") == 25


@pytest.mark.submission
def test_a_flood_without_a_place_reads_the_window_at_most_once_a_second(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_now()
    send_unverified(hub, 50)
    send_verified(hub, 26)
    monkeypatch.setattr(capture_windows._list_recently_kept, "_seconds", 3600.0)
    assert len(read_captures(hub, 1)) == 1
    assert read_captures(hub, 9) == []


@each_row(
    [
        ("standard-webhooks", {}, "webhook-signature"),
        ("body-hmac", {"header": "X-Sign"}, "x-sign"),
        ("timestamped-hmac", {"header": "X-Sign"}, "x-sign"),
        ("header", {"header": "User-Agent"}, "user-agent"),
        ("bearer", {}, "authorization"),
        ("bearer", {"header": "Authorization"}, "proxy-authorization"),
        ("jwt", {"header": "Content-Language"}, "content-language"),
    ]
)
def test_no_header_with_a_secret_or_a_signature_is_kept(
    scheme: str, scheme_settings: dict[str, str], name: str
) -> None:
    assert mask_headers({name: "value"}, scheme_settings) == {name: f"{MASK} (5)"}, scheme


def test_headers_are_bounded() -> None:
    many = {f"x-{number}-{'n' * 200}": "v" for number in range(99)} | {"accept": "v" * 9_999}
    masked = mask_headers(many, {})
    assert len(masked) == 50
    assert max(map(len, masked)) == 64
    assert max(map(len, masked.values())) == 512


@pytest.mark.promise("I6")
@pytest.mark.parametrize(
    ("body", "stored"),
    [
        (b'{"secret":"value-of-a-secret","again":"value-of-a-secret"}', b'{"again":"***"}'),
        (b'{"secret":["value-of-a-secret"]}', b"{}"),
        (b'{"secret":"e","again":"eee"}', b'{"again":"eee"}'),
        (b'{"secret":"value-of-a-secret"', b""),
    ],
)
def test_a_secret_in_the_body_is_not_stored_even_if_it_is_wrong(hub: Hub, body: bytes, stored: bytes) -> None:
    change_source(scheme="body-secret", scheme_settings={"field": "secret"})
    open_now()
    send_unverified(hub, body=body)
    row = CapturedRequest.objects.get()
    assert decrypt_captured_request(row)[1] == stored
    assert row.is_cut == (not stored)


@pytest.mark.promise("I6")
def test_what_the_format_drops_is_not_captured(hub: Hub) -> None:
    change_source(webhook_format={"drop": ["password"]})
    open_now()
    send_unverified(hub, body=b'{"password":"canary-of-a-body-3f1a","id":"1"}')
    send_unverified(hub, body=b'{"password":"canary-of-a-body-3f1a"')
    assert CapturedRequest.objects.count() == 2
    assert not stores_body()


def test_a_window_ends_after_60_minutes(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hub.post(BODY, "aurora")
    open_now()
    set_clock(monkeypatch, NOW + timedelta(minutes=59, seconds=59))
    # The sender gets the same answer meanwhile.
    assert hub.post(BODY, "aurora").content == before.content
    for seconds in (3600, 3601, 86_400):
        set_clock(monkeypatch, NOW + timedelta(seconds=seconds))
        send_unverified(hub)
    assert CapturedRequest.objects.count() == 1


def test_a_closed_window_takes_nothing_more_although_a_process_remembers_it(hub: Hub) -> None:
    open_now()
    send_unverified(hub)
    with transaction.atomic():
        counts = close_window(CaptureWindow.objects.all())
    assert counts == {"captured": 1, "verified": 0}
    send_unverified(hub)
    assert CapturedRequest.objects.count() == 1


def test_bodies_of_each_kind_are_stored_whole_up_to_2_mib_and_then_cut(hub: Hub) -> None:
    open_now()
    body = b'{"text":"' + b"x" * (1_048_576 - 11) + b'"}'
    change_source(webhook_format={"max_bytes": len(body)})
    for number in range(6):
        assert hub.post(body if number < 4 else body[:-2], "aurora").status_code == 401
    assert hub.post_signed(body).status_code == 400
    rows = list(CapturedRequest.objects.order_by("pk"))
    lengths = [len(decrypt_captured_request(row)[1]) for row in rows]
    assert lengths == [len(body)] * 2 + [65_536] * 4 + [len(body)]
    assert [row.stored_size for row in rows] == lengths
    assert [row.is_cut for row in rows] == [False] * 2 + [True] * 4 + [False]
    assert {row.size for row in rows} == {len(body), len(body) - 2}


def test_an_open_window_is_not_opened_again_and_a_past_one_is() -> None:
    open_now()
    assert try_to_open(NOW + timedelta(minutes=59)) is None
    assert try_to_open(NOW + timedelta(minutes=60)) is not None
    assert CaptureWindow.objects.get().opened_at == NOW + timedelta(minutes=60)
    # The one before was closed.
    assert len(entries("source.capture-closed")) == 1


def test_a_worker_closes_a_window_whose_time_is_over_with_an_entry(hub: Hub) -> None:
    window = open_now()
    send_unverified(hub, 2)
    send_verified(hub)
    clean_up_captures()
    assert CaptureWindow.objects.exists()
    CaptureWindow.objects.update(ends_at=NOW - timedelta(seconds=1))
    clean_up_captures()
    clean_up_captures()
    [entry] = entries("source.capture-closed")
    assert (entry["stream"], entry["actor"]) == (f"setting:source:{window.source_id}", "system")
    assert entry["details"] == {"captured": 3, "verified": 1}
    assert CapturedRequest.objects.count() == 3


def capture(body: bytes = b"x", days_ago: float = 0.0) -> CapturedRequest:
    source = Source.objects.get(slug="aurora")
    key = source_key(source.pk)
    document = {"headers": {"user-agent": "curl"}, "body": base64.b64encode(body).decode()}
    return CapturedRequest.objects.create(
        source=source,
        received_at=datetime.now(UTC) - timedelta(days=days_ago),
        is_verified=False,
        reason="wrong-signature",
        size=1,
        stored_size=1,
        is_cut=False,
        key=key,
        encrypted=key.encryptor.encrypt(json.dumps(document).encode()),
    )


def test_captured_requests_are_hidden_and_deleted_after_24_hours() -> None:
    capture(days_ago=1.01)
    recent = capture(days_ago=0.99)
    assert list(list_captured_requests(recent.source, datetime.now(UTC))) == [recent]
    clean_up_captures()
    assert list(CapturedRequest.objects.all()) == [recent]


@pytest.mark.promise("I19")
@pytest.mark.parametrize(
    ("body", "is_deleted"),
    [
        (b'{"person":"P-4711"}', True),
        (b'{"person":"\\u0050-4711"}', True),
        (b"person=P%2D4711", True),
        (b'{"data":"' + base64.b64encode(b'{"person": "P-4711"}') + b'"}', True),
        (b"e30." + base64.urlsafe_b64encode(b'{"sub": "P-4711"}').rstrip(b"=") + b".c2ln", True),
        # Packed: a search would prove nothing.
        (b"\x1f\x8b\x08\x00\xff\xfe", True),
        (b'{"person":"P-4712"}', False),
        ('{"person":"Jürgen"}'.encode()[:13], False),
        (b"", False),
    ],
)
def test_an_erasure_deletes_the_captured_requests_that_may_name_the_person(
    body: bytes, is_deleted: bool
) -> None:
    erase = import_string(settings.FURTHER_ERASERS["captures"])
    capture(body)
    assert erase("P-4711", "pseudonym") == is_deleted
    assert CapturedRequest.objects.exists() != is_deleted


def test_a_captured_request_opens_only_with_the_key_of_its_source() -> None:
    """Moved to another source, or without its key, nothing of it can be read, and an erasure deletes it."""
    Source.objects.create(slug="other", name="Other", scheme="bearer")
    row = capture(BODY)
    CapturedRequest.objects.update(key=source_key(Source.objects.get(slug="other").pk))
    with pytest.raises(CannotDecrypt):
        decrypt_captured_request(CapturedRequest.objects.get(pk=row.pk))
    assert import_string(settings.FURTHER_ERASERS["captures"])("someone", "pseudonym") == 1
