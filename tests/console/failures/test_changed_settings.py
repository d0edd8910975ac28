"""Advice of a failure after its settings were changed: it no longer says that a replay will fail again.

Holds what no other test does: the advice of every page is compared with the time of the last change.
"""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from sync.models import FailureGroup, MappingVersion
from sync.operations.failure_groups import refresh_failure_groups
from tests.support.builders.history import a_delivery, a_route, a_source, an_event, logged_in
from tests.support.pages import text_of
from webhooks.models import Event

pytestmark = pytest.mark.django_db
BEFORE, AFTER = "Replaying now will fail again.", "was changed after this failure"


@pytest.fixture
def support() -> Client:
    return logged_in("support")


def a_failure(code: str = "target-rejected") -> Event:
    """Create an event that failed a moment after its route was made."""
    event = an_event(state="dead", code=code)
    a_delivery(event, a_route(a_source()), settled_at=timezone.now() + timedelta(seconds=1))
    refresh_failure_groups()
    return event


def change_setting(event: Event, kind: str) -> None:
    """Change a setting of the event's route two seconds after the failure."""
    route, at = event.deliveries.get().route, timezone.now() + timedelta(seconds=3)
    if kind == "mapping":
        version = MappingVersion.objects.create(mapping=route.mapping, number=2, declaration={})
        MappingVersion.objects.filter(pk=version.pk).update(created_at=at)
        return
    setting = route if kind == "route" else route.target
    type(setting).objects.filter(pk=setting.pk).update(updated_at=at)


def advising_pages(event: Event) -> tuple[str, ...]:
    group = FailureGroup.objects.get()
    return (
        f"/admin/webhooks/event/{event.pk}/change/",
        f"/admin/sync/failuregroup/{group.pk}/change/",
        "/admin/sync/failuregroup/",
        f"/admin/webhooks/entity/?type=USER&id={event.entity_id}",
    )


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("kind", ["mapping", "route", "target"])
def test_a_page_gives_no_advice_from_before_a_change(support: Client, kind: str) -> None:
    event = a_failure()
    for page in advising_pages(event):
        text = text_of(support.get(page))
        assert BEFORE in text
        assert AFTER not in text
    change_setting(event, kind)
    for page in advising_pages(event):
        text = text_of(support.get(page))
        assert BEFORE not in text
        assert AFTER in text


@pytest.mark.submission
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("crashes-hub", "mapping"),
        ("target-unavailable", "target"),
        ("target-credentials", "mapping"),
        ("identity-rejected", "target"),
    ],
)
def test_a_change_of_what_does_not_decide_the_failure_is_no_news(
    support: Client, code: str, kind: str
) -> None:
    event = a_failure(code)
    change_setting(event, kind)
    for page in advising_pages(event):
        assert AFTER not in text_of(support.get(page))
