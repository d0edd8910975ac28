"""A capture window stores at most 20 unverified requests for 15 minutes; outside of it nothing of a body is stored."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from tests.support.hub import EXAMPLE, Hub, signature_headers
from tests.support.rows import each_row
from webhooks.captures.capture_windows import (
    decrypt_captured_request,
    delete_expired_captures,
    find_open_window,
    list_captured_requests,
    open_window,
)
from webhooks.captures.masked_headers import MASK, mask_headers
from webhooks.models import CapturedRequest, CaptureWindow, Source
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
    find_open_window.invalidate()
    yield
    find_open_window.invalidate()
    refusals.reset_counts()


def set_clock(monkeypatch: pytest.MonkeyPatch, at: datetime) -> None:
    monkeypatch.setattr("webhooks.receiving.incoming_request.timezone", SimpleNamespace(now=lambda: at))


def try_to_open(at: datetime, slug: str = "aurora") -> CaptureWindow | None:
    with transaction.atomic():
        return open_window(Source.objects.get(slug=slug), at)


def open_now(at: datetime | None = None) -> CaptureWindow:
    window = try_to_open(at or NOW)
    assert window is not None
    find_open_window.invalidate()
    return window


def send_unverified(hub: Hub, times: int = 1, **headers: str) -> None:
    for _ in range(times):
        answer = hub.post(BODY, "aurora", **headers)
        assert answer.status_code == 401


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
    send_unverified(hub, **signature_headers(BODY, "msg_1") | {"webhook-signature": "v1,AAAA"} | hidden)
    row = CapturedRequest.objects.get()
    assert (row.reason, row.size, row.address) == ("wrong-signature", len(BODY), "127.0.0.1")
    assert CANARY not in bytes(row.encrypted)
    assert base64.b64encode(BODY) not in bytes(row.encrypted)
    headers, body = decrypt_captured_request(row)
    assert body == BODY
    assert headers["webhook-signature"] == "v1,AAAA"
    assert secret not in repr(headers)
    assert headers["x-own-token"] == f"{MASK} ({len(secret)})"
    assert headers["content-type"] == "application/json"


def test_verified_requests_and_other_refusals_are_not_captured(hub: Hub) -> None:
    open_now()
    assert hub.post_signed(EXAMPLE).status_code < 300
    assert hub.post_signed(b"[]").status_code == 400
    assert hub.client.post("/webhooks/aurora", BODY, content_type="text/plain").status_code == 415
    assert hub.post(BODY, "nobody").status_code == 404
    assert CapturedRequest.objects.count() == 0


@each_row(
    [
        ("body-hmac", {"header": "X-Sign"}, True),
        ("timestamped-hmac", {"header": "X-Sign"}, True),
        ("header", {"header": "X-Sign"}, False),
        ("standard-webhooks", {}, False),
    ]
)
def test_a_header_is_shown_only_where_it_holds_a_signature(
    scheme: str, settings: dict[str, str], is_shown: bool
) -> None:
    assert (mask_headers({"x-sign": "value"}, scheme, settings)["x-sign"] == "value") is is_shown
    masked = mask_headers({"authorization": "value"}, scheme, {"header": "Authorization"})
    assert "value" not in masked.values()


def test_headers_are_bounded() -> None:
    many = {f"x-{number}-{'n' * 200}": "v" for number in range(99)} | {"accept": "v" * 9_999}
    masked = mask_headers(many, "bearer", {})
    assert len(masked) == 50
    assert max(map(len, masked)) == 64
    assert max(map(len, masked.values())) == 512


def test_a_window_ends_after_15_minutes(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hub.post(BODY, "aurora")
    open_now()
    set_clock(monkeypatch, NOW + timedelta(minutes=14, seconds=59))
    # The sender gets the same answer meanwhile.
    assert hub.post(BODY, "aurora").content == before.content
    for seconds in (900, 901, 86_400):
        set_clock(monkeypatch, NOW + timedelta(seconds=seconds))
        send_unverified(hub)
    assert CapturedRequest.objects.count() == 1


def test_bodies_are_stored_whole_up_to_4_mib_and_then_cut(hub: Hub) -> None:
    window = open_now()
    body = b'{"text":"' + b"x" * (1_048_576 - 11) + b'"}'
    Source.objects.filter(slug="aurora").update(webhook_format={"max_bytes": len(body)})
    find_source.invalidate()
    for number in range(22):
        assert hub.post(body if number < 6 else body[:-2], "aurora").status_code == 401
    rows = list(CapturedRequest.objects.order_by("pk"))
    lengths = [len(decrypt_captured_request(row)[1]) for row in rows]
    assert lengths == [len(body)] * 4 + [65_536] * 16
    assert sum(lengths) <= 5.25 * 1_048_576
    assert {row.size for row in rows} == {len(body), len(body) - 2}
    window.refresh_from_db()
    assert (window.captured, window.whole_bytes) == (20, 4 * len(body))
    # What fits is still stored whole: another window begins anew.
    CapturedRequest.objects.all().delete()
    assert try_to_open(NOW + timedelta(minutes=15)) is not None
    assert CaptureWindow.objects.get().whole_bytes == 0


def test_an_open_window_is_not_opened_again_and_a_past_one_is() -> None:
    open_now()
    CaptureWindow.objects.update(captured=20)
    assert try_to_open(NOW + timedelta(minutes=14)) is None
    assert try_to_open(NOW + timedelta(minutes=15)) is not None
    assert CaptureWindow.objects.get().captured == 0


def capture_days_ago(days: float) -> CapturedRequest:
    return CapturedRequest.objects.create(
        source=Source.objects.get(slug="aurora"),
        received_at=datetime.now(UTC) - timedelta(days=days),
        reason="wrong-signature",
        size=1,
        encrypted=b"x",
    )


def test_captured_requests_are_hidden_and_deleted_after_24_hours() -> None:
    capture_days_ago(1.01)
    recent = capture_days_ago(0.99)
    assert list(list_captured_requests(recent.source, datetime.now(UTC))) == [recent]
    delete_expired_captures()
    assert list(CapturedRequest.objects.all()) == [recent]
    # An erasure deletes them all.
    assert import_string(settings.FURTHER_ERASERS["captures"])("someone", "pseudonym") == 1
    assert not CapturedRequest.objects.exists()
