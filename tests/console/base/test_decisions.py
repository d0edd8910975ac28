"""Decisions on what awaits a second person: only a button that was pressed decides."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User

from logins.access_requests import request_role
from sync.erasure.requests import request_erasure
from sync.erasure.subject_data import find_subject
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from tests.support.people import browser, entries, person

pytestmark = pytest.mark.django_db


def an_erasure(by: User) -> Any:
    a_delivery(an_event(0), a_route(a_source()))
    subject = find_subject("USER", "USR-0", None)
    return request_erasure(subject, ground="consent-withdrawn", reason="a letter", by=by)


def an_access_request(by: User) -> Any:
    return request_role(User.objects.create_user("eva"), Group.objects.get(name="support"), by=by)


REQUESTS: dict[str, tuple[Callable[[User], Any], str, str]] = {
    "sync/erasure": (an_erasure, "confirm", "erasure"),
    "logins/accessrequest": (an_access_request, "approve", "access"),
}


@pytest.mark.parametrize("page", REQUESTS)
def test_a_post_without_a_button_or_with_both_decides_nothing(page: str) -> None:
    """Holds that an interrupted or hand-made POST neither refuses nor approves a request, whose refusal is final."""
    make, button, stream = REQUESTS[page]
    row = make(person("administrator", "first"))
    address, client = f"/admin/{page}/{row.pk}/change/", browser("administrator", "second")
    before = row.state
    for posted in ({}, {"refuse": "yes", button: "yes"}, {"reject": "yes"}):
        answer = client.post(address, posted, follow=True)
        assert "Nothing was decided." in answer.content.decode()
        row.refresh_from_db()
        assert row.state == before
    assert not entries(f"{stream}.refused")
    client.post(address, {"refuse": "yes"})
    row.refresh_from_db()
    assert row.state == "refused"
