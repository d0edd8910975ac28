"""Decisions on what awaits a second person: only a pressed button decides, and the pages say who is awaited."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.overview.badges import badges_of
from logins.access_requests import request_role
from logins.models import HeldPermission
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


MENU_BADGE = '<span class="badge" title="Requests that await your decision">1</span>'


@pytest.mark.parametrize("page", REQUESTS)
def test_the_menu_the_overview_and_the_page_say_who_is_awaited(page: str) -> None:
    """Holds that a request is seen by who can decide it without a look at its list, and by its requester with names."""
    first, late = person("administrator", "first"), person("administrator", "late")
    HeldPermission.objects.filter(person=late).update(since=timezone.now())
    row = REQUESTS[page][0](first)
    an_event(5)
    second = browser("administrator", "second")
    awaited = "Can approve: second, late from "
    overview = second.get("/admin/").content.decode()
    assert MENU_BADGE in overview
    assert "Requested by first. " + awaited in overview
    client = Client()
    client.force_login(first)
    assert MENU_BADGE not in client.get("/admin/preferences/").content.decode()
    assert awaited in client.get(f"/admin/{page}/{row.pk}/change/").content.decode()
    second.post(f"/admin/{page}/{row.pk}/change/", {"refuse": "yes"})
    decided = second.get("/admin/").content.decode()
    assert MENU_BADGE not in decided
    assert awaited not in decided


def test_the_requester_reads_that_nobody_can_approve() -> None:
    first = person("administrator", "first")
    row, client = an_access_request(first), Client()
    client.force_login(first)
    assert (
        "No one can approve this yet."
        in client.get(f"/admin/logins/accessrequest/{row.pk}/change/").content.decode()
    )


def test_badges_cost_one_statement_and_none_for_a_person_who_sees_nothing() -> None:
    for role in ("administrator", "support", "auditor"):
        request = _request_of(person(role, role))
        with CaptureQueriesContext(connection) as captured:
            for _ in range(2):
                badges_of(request)
        counts = [query for query in captured.captured_queries if "COUNT(*)" in query["sql"]]
        assert len(counts) == 1
    assert badges_of(_request_of(User.objects.create_user("nobody", is_staff=True))) == {}


def _request_of(user: User) -> HttpRequest:
    request = HttpRequest()
    request.user = User.objects.get(pk=user.pk)
    return request
