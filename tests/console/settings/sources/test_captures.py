"""The pages of a capture window: who opens and closes it, what the audit log says, and what is shown masked."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from tests.support.builders.captured_requests import a_captured_request
from tests.support.builders.history import a_source, logged_in
from tests.support.people import entries
from webhooks.captures import capture_windows
from webhooks.models import CapturedRequest, CaptureWindow, Source

pytestmark = pytest.mark.django_db
CANARY = "canary-5c2e"
JSON = "application/json"


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    capture_windows._list_recently_kept.invalidate()
    yield
    capture_windows._list_recently_kept.invalidate()


def page_of(source: Source, row: CapturedRequest | None = None) -> str:
    return f"/admin/webhooks/source/{source.pk}/capture/" + (f"{row.pk}/" if row else "")


def captured(
    source: Source,
    body: bytes = b'{"users": [{"id": "%s", "is_new": true}]}' % CANARY.encode(),
    content_type: str = JSON,
) -> CapturedRequest:
    now = timezone.now()
    row = a_captured_request(source, now, body, content_type=content_type, user_agent=f"agent of {CANARY}")
    # With a part of a minute left, so that a slow test shows the same.
    CaptureWindow.objects.update(
        opened_at=now - timedelta(minutes=1), ends_at=now + timedelta(minutes=41, seconds=30)
    )
    return row


def click(client: Client, source: Source, row: CapturedRequest, value: str) -> int:
    return client.post(page_of(source, row) + "reveal/", {"value": value}).status_code


def test_an_administrator_opens_and_closes_a_window_with_entries_on_the_audit_log() -> None:
    source, client = a_source(), logged_in("administrator")
    assert client.post(page_of(source), {"reason": ""}).status_code == 200
    assert not CaptureWindow.objects.exists()
    client.post(page_of(source), {"reason": "the sender sees 401"})
    window = CaptureWindow.objects.get()
    assert window.ends_at - window.opened_at == timedelta(minutes=60)
    [entry] = entries("source.capture-opened")
    assert entry["actor"].startswith("person:")
    assert entry["stream"] == f"setting:source:{source.pk}"
    assert entry["details"] | {"address": ""} == {
        "reason": "the sender sees 401",
        "minutes": 60,
        "most": 50,
        "address": "",
    }
    client.post(page_of(source), {"reason": "once more"})
    assert CaptureWindow.objects.count() == 1
    assert len(entries("source.capture-opened")) == 1
    for _ in range(2):
        client.post(page_of(source) + "close/")
    assert not CaptureWindow.objects.exists()
    [closed] = entries("source.capture-closed")
    assert (closed["actor"], closed["stream"]) == (entry["actor"], entry["stream"])
    assert (closed["details"]["captured"], closed["details"]["verified"]) == (0, 0)


@pytest.mark.promise("T25")
@pytest.mark.parametrize("role", ["support", "auditor"])
def test_who_may_not_change_the_source_neither_opens_nor_closes_a_window(role: str) -> None:
    source, client = a_source(), logged_in(role)
    assert client.post(page_of(source), {"reason": "curious"}).status_code == 403
    captured(source)
    assert client.post(page_of(source) + "close/").status_code == 403
    assert CaptureWindow.objects.count() == 1


def test_the_page_of_the_source_shows_an_open_window_with_the_time_left() -> None:
    source, client = a_source(), logged_in("administrator")
    page = f"/admin/webhooks/source/{source.pk}/change/"
    assert "A capture window is open" not in client.get(page).content.decode()
    captured(source)
    for address in (page, page_of(source)):
        text = " ".join(client.get(address).content.decode().split())
        assert "41 min" in text
        assert "1 of 50 requests captured" in text


@pytest.mark.promise("I6")
@pytest.mark.parametrize("role", ["administrator", "support"])
def test_each_value_is_masked_until_it_is_clicked_and_each_click_is_an_entry(role: str) -> None:
    source, client = a_source(), logged_in(role)
    row = captured(source)
    assert CANARY not in client.get(page_of(source)).content.decode()
    page = client.get(page_of(source, row)).content.decode()
    assert "users[0].id" in page
    assert "true" in page
    assert CANARY not in page
    assert click(client, source, row, "b0") == 302
    page = client.get(page_of(source, row)).content.decode()
    # The header has it too, and is still masked.
    assert page.count(CANARY) == 1
    assert click(client, source, row, "h2") == 302
    assert client.get(page_of(source, row)).content.decode().count(CANARY) == 2
    looked = entries("source.captured-value-revealed")
    assert [entry["details"]["value"] for entry in looked] == ["b0", "h2"]
    assert {entry["details"]["request"] for entry in looked} == {row.pk}
    assert {entry["stream"] for entry in looked} == {f"setting:source:{source.pk}"}
    assert CANARY not in str(looked)
    # Another person, and another request, see nothing.
    assert CANARY not in logged_in(role).get(page_of(source, row)).content.decode()
    assert CANARY not in client.get(page_of(source, captured(source))).content.decode()


@pytest.mark.promise("T25")
def test_values_need_a_permission_and_the_whole_body_that_to_see_contents() -> None:
    source = a_source()
    row = captured(source)
    for role, value in (("auditor", "b0"), ("auditor", "body"), ("administrator", "body")):
        client = logged_in(role)
        assert click(client, source, row, value) == 403, (role, value)
        assert CANARY not in client.get(page_of(source, row)).content.decode()
    support = logged_in("support")
    assert click(support, source, row, "body") == 302
    assert CANARY in support.get(page_of(source, row)).content.decode()
    assert click(support, source, row, "b9") == 404
    other = Source.objects.create(slug="other", name="Other", scheme="bearer")
    assert click(support, other, row, "b0") == 404
    assert len(entries("source.captured-value-revealed")) == 1


def test_values_are_masked_again_for_who_loses_the_permission() -> None:
    source, client = a_source(), logged_in("administrator")
    row = captured(source)
    click(client, source, row, "b0")
    assert CANARY in client.get(page_of(source, row)).content.decode()
    group = Group.objects.get(name="administrator")
    group.permissions.remove(group.permissions.get(codename="see_learning_requests"))
    assert CANARY not in client.get(page_of(source, row)).content.decode()


HOSTILE = [
    (b"", JSON),
    (b"\0\xff", JSON),
    (b'{"\\ud800": "\\udc00"}', JSON),
    (b"[" * 60_000, JSON),
    (b"[" * 900 + b"1" + b"]" * 900, JSON),
    (b"[" + b"1," * 30_000 + b"1]", JSON),
    (b'{"n": ' + b"9" * 5_000 + b"}", JSON),
    (b"<script>alert(1)</script>", JSON),
    (b'{"<script>alert(1)</script>": "<script>alert(2)</script>"}', JSON),
    (b"a=1&a=2&b=%00%ff&=", "application/x-www-form-urlencoded"),
    (b"&" * 5_000, "application/x-www-form-urlencoded"),
]


@pytest.mark.submission_rows(4)
@pytest.mark.parametrize(("body", "content_type"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_body_is_shown_as_text_on_a_page_of_bounded_size(body: bytes, content_type: str) -> None:
    source, support = a_source(), logged_in("support")
    row = captured(source, body, content_type)
    for value in ("", "b0", "body"):
        click(support, source, row, value)
        page = support.get(page_of(source, row))
        assert page.status_code == 200
        assert "<script>alert" not in page.content.decode()
        assert len(page.content) < 300_000


def test_the_fields_of_a_form_are_values_of_their_own() -> None:
    source, client = a_source(), logged_in("administrator")
    row = captured(source, f"id=1&name={CANARY}".encode(), "application/x-www-form-urlencoded")
    click(client, source, row, "b1")
    page = client.get(page_of(source, row)).content.decode()
    assert page.count(CANARY) == 1


def test_the_page_says_that_a_body_is_not_stored_whole() -> None:
    source, support = a_source(), logged_in("support")
    row = captured(source)
    assert "partial body" not in support.get(page_of(source, row)).content.decode()
    CapturedRequest.objects.update(is_cut=True, size=9_999)
    assert "9,999" in support.get(page_of(source, row)).content.decode()
    assert "partial body" in support.get(page_of(source, row)).content.decode()


def test_stored_requests_older_than_24_hours_are_not_shown() -> None:
    source, support = a_source(), logged_in("support")
    row = captured(source)
    CapturedRequest.objects.update(received_at=timezone.now() - timedelta(hours=24, seconds=1))
    assert "192.0.2.7" not in support.get(page_of(source)).content.decode()
    assert support.get(page_of(source, row)).status_code == 404
    assert click(support, source, row, "b0") == 404
