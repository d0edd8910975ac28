"""The page of a capture window: who opens it, what the audit log says, and what is shown masked."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.support.builders.history import a_source, logged_in
from tests.support.people import entries
from webhooks.captures.capture_windows import UnverifiedRequest, capture_request, find_open_window
from webhooks.models import CapturedRequest, CaptureWindow, Source

pytestmark = pytest.mark.django_db
CANARY = "canary-5c2e"


def page_of(source: Source) -> str:
    find_open_window.invalidate()
    return f"/admin/webhooks/source/{source.pk}/capture/"


def captured(source: Source, body: bytes = b'{"id": "%s"}' % CANARY.encode()) -> CapturedRequest:
    now = timezone.now()
    CaptureWindow.objects.create(source=source, opened_at=now, ends_at=now + timedelta(minutes=15))
    find_open_window.invalidate()
    assert capture_request(
        source, UnverifiedRequest({"user-agent": CANARY}, body, "192.0.2.7", now, "wrong-signature")
    )
    return CapturedRequest.objects.get()


def test_an_administrator_opens_a_window_with_a_reason_on_the_audit_log() -> None:
    source, client = a_source(), logged_in("administrator")
    assert client.post(page_of(source), {"reason": ""}).status_code == 200
    assert not CaptureWindow.objects.exists()
    client.post(page_of(source), {"reason": "the sender sees 401"})
    window = CaptureWindow.objects.get()
    assert window.ends_at - window.opened_at == timedelta(minutes=15)
    [entry] = entries("source.capture-opened")
    assert entry["actor"].startswith("person:")
    assert entry["stream"] == f"setting:source:{source.pk}"
    assert entry["details"]["reason"] == "the sender sees 401"
    client.post(page_of(source), {"reason": "once more"})
    assert CaptureWindow.objects.count() == 1
    assert len(entries("source.capture-opened")) == 1


def test_stored_requests_are_masked_until_they_are_revealed() -> None:
    source, support = a_source(), logged_in("support")
    captured(source)
    page = support.get(page_of(source)).content.decode()
    assert "192.0.2.7" in page
    assert CANARY not in page
    support.post(page_of(source) + "reveal/", {"reason": "why 401"})
    assert support.get(page_of(source)).content.decode().count(CANARY) == 2
    assert entries("source.captures-revealed")[0]["details"]["reason"] == "why 401"
    assert CANARY not in logged_in("support").get(page_of(source)).content.decode()


def test_a_hostile_body_is_shown_as_text() -> None:
    source, support = a_source(), logged_in("support")
    captured(source)
    support.post(page_of(source) + "reveal/", {"reason": "why 401"})
    for body in (b"", b"\0\xff", b'{"\\ud800": "\\udc00"}', b"[" * 60_000, b"<script>alert(1)</script>"):
        now = timezone.now()
        assert capture_request(source, UnverifiedRequest({}, body, "192.0.2.7", now, "wrong-signature"))
        page = support.get(page_of(source))
        assert page.status_code == 200
        assert "<script>alert" not in page.content.decode()
    assert "&lt;script&gt;alert" in page.content.decode()


def test_the_page_says_which_body_is_not_stored_whole() -> None:
    source, support = a_source(), logged_in("support")
    body = b'{"id":"%s","text":"' % CANARY.encode() + b"x" * 400_000 + b'"}'
    row = captured(source, body)
    page = support.get(page_of(source)).content.decode()
    assert "x" * 100 not in page
    assert "only the first" not in page
    support.post(page_of(source) + "reveal/", {"reason": "why 401"})
    assert "x" * 400_000 in support.get(page_of(source)).content.decode()
    # The window has no room left.
    row.delete()
    CaptureWindow.objects.update(captured=1, whole_bytes=4 * 1_048_576 - 1)
    find_open_window.invalidate()
    now = timezone.now()
    assert capture_request(source, UnverifiedRequest({}, body, None, now, "wrong-signature"))
    page = support.get(page_of(source)).content.decode()
    assert "only the first" in page
    assert "x" * 60_000 in page
    assert "x" * 66_000 not in page


def test_a_reveal_needs_the_permission() -> None:
    source, client = a_source(), logged_in("administrator")
    captured(source)
    assert client.post(page_of(source) + "reveal/", {"reason": "why 401"}).status_code == 403
    assert CANARY not in client.get(page_of(source)).content.decode()


def test_stored_requests_older_than_24_hours_are_not_shown() -> None:
    source = a_source()
    captured(source)
    CapturedRequest.objects.update(received_at=timezone.now() - timedelta(hours=24, seconds=1))
    assert "192.0.2.7" not in logged_in("support").get(page_of(source)).content.decode()
