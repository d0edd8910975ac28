"""The page of a source: the use of its secrets, a test event through the real checks, a pause with a reason."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from console.settings.sources import page as sources_page
from database.clock import read_clock
from sync.monitoring.health_figures import measure_health
from sync.statistics.periodic_recount import recount_stale_hours
from tests.console.settings.source_pages import WHY, page_of, sent
from tests.support.builders.history import a_receipt, an_event, logged_in
from tests.support.builders.overviews import count_events
from tests.support.builders.settings_rows import TYPED, a_signed_source
from tests.support.pages import visible_text
from tests.support.people import browser, entries, source
from webhooks.models import Event, Receipt, Refusal, Source, SourceSecret, State
from webhooks.protocol.schemes import new_secret

pytestmark = pytest.mark.django_db


def a_secret(of: Source, value: str = TYPED, **values: Any) -> SourceSecret:
    return SourceSecret.objects.create(source=of, value=value, hint=value[-4:], **values)


def test_a_secret_of_another_scheme_is_marked() -> None:
    of, client = a_signed_source(), browser("administrator")
    a_secret(of)
    mark = "does not match the verification"
    assert mark not in visible_text(client.get(page_of(of)))
    Source.objects.filter(pk=of.pk).update(scheme="basic")
    assert mark in visible_text(client.get(page_of(of)))


def test_during_a_rotation_the_page_counts_down_and_shows_the_use_of_the_old_secret() -> None:
    of, client = a_signed_source(), browser("administrator")
    old = a_secret(of, ends_at=timezone.now() + timedelta(hours=23, minutes=12, seconds=30))
    SourceSecret.objects.update(created_at=timezone.now() - timedelta(days=400))
    new = a_secret(of, new_secret("standard-webhooks"))
    now = timezone.now() + timedelta(seconds=1)
    for secret, number in ((old, 3), (new, 2)):
        for _ in range(number):
            a_receipt(None, source=of, verified_by=f"standard-webhooks:{secret.pk}", received_at=now)
    a_receipt(None, source=of, verified_by=f"standard-webhooks:{old.pk}", received_at=now - timedelta(days=2))
    a_receipt(None, source=source("other"), verified_by=f"bearer:{old.pk}", received_at=now)
    text = visible_text(client.get(page_of(of)))
    assert re.search(
        rf"{re.escape(str(old))} 400 days ↻ in 23 h 12 min 3 webhooks, last .{{1,12}} ! still used", text
    )
    assert re.search(rf"{re.escape(str(new))} \d+ s ✓ never 2 webhooks, last", text)
    assert TYPED not in text
    Receipt.objects.all().delete()
    assert "still used" not in visible_text(client.get(page_of(of)))


def test_the_confirmation_to_end_a_secret_names_the_checked_period(monkeypatch: pytest.MonkeyPatch) -> None:
    of, client = a_signed_source(), browser("administrator")
    secret = a_secret(of)
    SourceSecret.objects.update(created_at=timezone.now() - timedelta(days=3, hours=1))
    page = f"/admin/webhooks/source/{of.pk}/secrets/{secret.pk}/end/"
    assert " last 3 days " in visible_text(client.get(page))
    hour_ago = timezone.now() - timedelta(hours=1, seconds=5)
    a_receipt(None, source=source("other"), verified_by="none", received_at=hour_ago)
    monkeypatch.setattr(sources_page, "MAX_RECEIPTS", 1)
    assert " last 1 h " in visible_text(client.get(page))


def test_ending_the_only_live_secret_warns_that_all_webhooks_will_be_refused() -> None:
    of, client = a_signed_source(), browser("administrator")
    old, new = a_secret(of), a_secret(of, new_secret("standard-webhooks"))
    pages = [f"/admin/webhooks/source/{of.pk}/secrets/{secret.pk}/end/" for secret in (old, new)]
    warning = "the only active secret"
    assert warning not in visible_text(client.get(pages[0]))
    client.post(pages[0], WHY)
    assert warning in visible_text(client.get(pages[1]))
    assert client.get(pages[0]).status_code == 302, "it has already expired"


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("scheme", "settings"),
    [
        ("standard-webhooks", {}),
        (
            "hmac",
            {"header": "X-Sig", "signed": ["{url}", "{time}", "{body}"], "time": "t", "signature": "v1"},
        ),
        ("jwt", {"algorithm": "HS512", "header": "Authorization", "digest_claim": "digest"}),
        ("body-secret", {"field": "value[].clientState"}),
        ("basic", {}),
        ("none", {}),
    ],
)
def test_a_test_event_passes_the_real_checks_and_has_no_effect(
    scheme: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.conf.settings.PUBLIC_URL", "https://hub.example.com")
    of = source("tried", scheme=scheme, scheme_settings=settings)
    if scheme != "none":
        a_secret(of, new_secret(scheme, settings), ends_at=timezone.now() + timedelta(hours=1))
        newest = a_secret(of, new_secret(scheme, settings))
    sent(browser("administrator"), of)
    event = Event.objects.get()
    assert (event.state, event.entity_type, event.is_signed) == (State.IGNORED, "HUB-TEST", scheme != "none")
    receipt = Receipt.objects.get()
    assert receipt.verified_by == (scheme if scheme == "none" else f"{scheme}:{newest.pk}")
    (entry,) = entries("source.tested")
    result = {"status": 200, "code": "ignored", "event": event.reference, "address": "127.0.0.1"}
    assert entry["details"] == result


def test_a_test_event_of_a_disabled_source_is_refused_and_reported() -> None:
    of = source("off", is_enabled=False)
    assert "(source-disabled)" in sent(browser("administrator"), of)
    assert not Event.objects.exists()


@pytest.mark.submission
def test_no_test_event_is_sent_that_the_hub_could_not_sign_or_would_deliver() -> None:
    client = browser("administrator")
    of = a_signed_source()
    sent(client, of)  # without a secret
    a_secret(of, "whpk_" + "A" * 43)
    sent(client, of)  # the sender signs with its own private key
    keys = {"algorithm": "ES256", "jwks_url": "https://id.example.com/certs"}
    sent(client, source("keyed", scheme="jwt", scheme_settings=keys))
    sent(client, source("worded", webhook_format={"event_types": {"hub-test": "UPDATE"}}))
    of = source("formatted", webhook_format={"id": "event.key"})
    assert " Send a test event " not in visible_text(client.get(page_of(of)))
    sent(client, of)
    assert not Event.objects.exists()
    assert not entries("source.tested")


@pytest.mark.submission
def test_a_test_event_does_not_hide_that_a_source_is_silent() -> None:
    of = source("quiet")
    heard = an_event(source=of).received_at
    sent(browser("administrator"), of)
    (figure,) = measure_health(read_clock()).sources
    assert figure.silent_since == heard


@pytest.mark.submission
def test_the_list_shows_the_last_event_and_bad_signatures() -> None:
    of, client = source("busy"), logged_in("support")
    an_event(source=of, received_at=timezone.now() - timedelta(minutes=5, seconds=1))
    now = timezone.now()
    for number, at in enumerate((now, now, now - timedelta(days=2))):
        facts = {"first_at": at, "last_at": at, "times": 7, "bucket": str(number)}
        Refusal.objects.create(source=of, code="bad-signature", **facts)
    recount_stale_hours(seconds=60.0)
    text = visible_text(client.get("/admin/webhooks/source/"))
    assert re.search(r"Busy ✓ Enabled 1 5 min ago 14 ", text)


@pytest.mark.submission
def test_the_list_and_the_page_show_events_of_a_day_from_counts() -> None:
    of, client = source("busy"), logged_in("administrator")
    for ago, number in ((0, 200), (1, 900), (5, 134), (23, 0), (24, 7000)):
        count_events(ago, number=number, source=of)
    count_events(5, "dead", 100, source=of)
    count_events(2, source=source("other"))
    pages = [client.get(page) for page in ("/admin/webhooks/source/", page_of(of))]
    (points,) = {re.search(r'points="([^"]+)"', page.content.decode())[1] for page in pages}  # type: ignore[index]
    heights = [float(point.partition(",")[2]) for point in points.split()]
    assert len(heights) == 23, "the hour that has begun is no low one"
    assert heights[-1] == 4.0, "the highest hour"
    assert heights.count(96.0) == 21, "hours in which nothing came are as low as can be"
    assert "Busy ✓ Enabled 1,334 never" in visible_text(pages[0])
    assert "Events, 24 h 1,334 " in visible_text(pages[1])
