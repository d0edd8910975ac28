"""Erasures in the console: previewed, requested by one administrator, confirmed by another."""

import re

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from logins.models import HeldPermission
from sync.jobs.claims import DIED_MESSAGE
from sync.models import Erasure, Job
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from tests.support.jobs import die_three_times
from tests.support.pages import text_of
from tests.support.people import browser, entries, hold_permissions_for_days, let_set_password
from webhooks.models import Event

pytestmark = pytest.mark.django_db

WHOM = {"entity_type": "USER", "entity_id": "USR-0", "source": ""}
PASSWORD = "a staple that is new"
WHY = {"ground": "consent-withdrawn", "reason": "a letter of the 3rd"}


@pytest.fixture
def event() -> Event:
    event = an_event(0)
    a_delivery(event, a_route(a_source()))
    return event


def request_from(client: Client) -> Erasure:
    answer = client.post("/admin/sync/erasure/request/", WHOM | WHY)
    erasure = Erasure.objects.get()
    assert answer["Location"] == f"/admin/sync/erasure/{erasure.pk}/change/"
    return erasure


def test_an_erasure_starts_at_the_page_of_an_event_and_shows_the_stored_data(event: Event) -> None:
    client = browser("administrator")
    link = re.search(r'href="(/admin/sync/erasure/find/\?event=\d+)"', _text(client, event))
    assert link
    assert 'value="USR-0"' in client.get(link[1]).content.decode()
    page = text_of(client.post("/admin/sync/erasure/find/", WHOM))
    assert '<td>Events</td><td class="number">1</td>' in page
    assert '<td>Deliveries</td><td class="number">1</td>' in page
    assert not Erasure.objects.exists()


@pytest.mark.submission
def test_one_person_requests_and_another_confirms(event: Event) -> None:
    first, second = browser("administrator", "first"), browser("administrator", "second")
    erasure = request_from(first)
    address = f"/admin/sync/erasure/{erasure.pk}/change/"
    waiting = first.get(address).content.decode()
    assert '<a class="mono" href="/admin/webhooks/entity/?type=USER&amp;id=USR-0">USR-0</a>' in waiting
    assert "Approve and erase" not in waiting
    first.post(address, {"confirm": "yes"})
    assert Erasure.objects.get().state == "requested"
    assert "Approve and erase" in second.get(address).content.decode()
    second.post(address, {"confirm": "yes"})
    assert Erasure.objects.get().state == "confirmed"
    assert len(entries("erasure.requested")) == len(entries("erasure.confirmed")) == 1


@pytest.mark.submission
def test_a_case_number_is_on_the_page_and_the_list(event: Event) -> None:
    client = browser("administrator")
    client.post("/admin/sync/erasure/request/", WHOM | WHY | {"case_number": " GDPR-2026-117 "})
    for address in (f"{Erasure.objects.get().pk}/change/", ""):
        assert "GDPR-2026-117" in client.get(f"/admin/sync/erasure/{address}").content.decode()


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    "wrong", [{"reason": ""}, {"case_number": "T-USR-0"}, {"case_number": "anna1@example.com"}]
)
def test_a_refused_request_shows_the_error_at_its_field_and_loses_no_input(
    event: Event, wrong: dict[str, str]
) -> None:
    page = browser("administrator").post("/admin/sync/erasure/request/", WHOM | WHY | wrong)
    assert page.context["form"].errors.keys() == wrong.keys()
    text = page.content.decode()
    assert all(value in text for value in (WHY | wrong).values())
    assert not Erasure.objects.exists()


def _text(client: Client, event: Event) -> str:
    return client.get(f"/admin/webhooks/event/{event.pk}/change/").content.decode()


@pytest.mark.submission
def test_a_failed_erasure_is_shown_as_failed_and_can_be_resumed(event: Event) -> None:
    first, second = browser("administrator", "first"), browser("administrator", "second")
    address = f"/admin/sync/erasure/{request_from(first).pk}/change/"
    second.post(address, {"confirm": "yes"})
    second.post(address, {"resume": "yes"})
    assert not entries("erasure.resumed")
    die_three_times("erasure")
    assert DIED_MESSAGE in second.get(address).content.decode()
    second.post(address, {"resume": "yes"})
    assert [job.state for job in Job.objects.order_by("pk")] == ["failed", "waiting"]
    [resumed] = entries("erasure.resumed")
    assert resumed["actor"] == f"person:{Erasure.objects.get().decided_by_id}"


def confirm(client: Client, erasure: Erasure) -> str:
    """Open the page and confirm, whether or not the page offers it. Returns the page before, and what followed."""
    address = f"/admin/sync/erasure/{erasure.pk}/change/"
    shown = client.get(address).content.decode()
    followed = client.post(address, {"confirm": "yes"}, follow=True).content.decode()
    return shown + followed


def log_in_with_given_password(client: Client) -> None:
    """Log in with the password that someone else set, and choose another."""
    assert client.login(username="second", password=PASSWORD)
    chosen = dict.fromkeys(("new_password1", "new_password2"), f"{PASSWORD} 2")
    assert client.post("/admin/password_change/", {"old_password": PASSWORD} | chosen).status_code == 302


@pytest.mark.submission
def test_an_administrator_appoints_no_second_person(event: Event) -> None:
    first = browser("administrator", "first")
    role = Group.objects.get(name="administrator")
    form = {"username": "second", "groups": [role.pk]} | dict.fromkeys(("password1", "password2"), PASSWORD)
    assert first.post("/admin/auth/user/add/", form).status_code == 302
    second = Client()
    log_in_with_given_password(second)
    erasure = request_from(first)
    text = confirm(second, erasure)
    assert "a second person must have had the permission for 24 hours" in text
    assert "Approve and erase" not in text
    hold_permissions_for_days(User.objects.get(username="second"))
    text = confirm(second, erasure)
    assert "Another person must approve this." in text
    assert Erasure.objects.get().state == "requested"


@pytest.mark.submission
@pytest.mark.parametrize("requester", ["first", "second"])
def test_a_person_who_sets_the_password_of_another_cannot_act_as_both(event: Event, requester: str) -> None:
    clients = {name: browser("administrator", name) for name in ("first", "second")}
    taken = User.objects.get(username="second")
    form = dict.fromkeys(("password1", "password2"), PASSWORD)
    let_set_password(User.objects.get(username="first"), taken)
    assert clients["first"].post(f"/admin/auth/user/{taken.pk}/password/", form).status_code == 302
    log_in_with_given_password(clients["second"])
    erasure = request_from(clients.pop(requester))
    [(_, other)] = clients.items()
    assert "Another person must approve this." in confirm(other, erasure)
    assert Erasure.objects.get().state == "requested"
    assert "Approved." in confirm(browser("administrator", "third"), erasure)


@pytest.mark.submission
def test_whoever_cannot_confirm_may_still_reject(event: Event) -> None:
    first, second = browser("administrator", "first"), browser("administrator", "second")
    erasure = request_from(first)
    HeldPermission.objects.update(since=timezone.now())
    address = f"/admin/sync/erasure/{erasure.pk}/change/"
    assert "Reject</button>" in text_of(second.get(address))
    second.post(address, {"refuse": "yes"})
    assert Erasure.objects.get().state == "refused"


def test_the_requester_may_withdraw(event: Event) -> None:
    client = browser("administrator")
    erasure = request_from(client)
    client.post(f"/admin/sync/erasure/{erasure.pk}/change/", {"refuse": "yes"})
    assert Erasure.objects.get().state == "refused"


def test_what_nothing_is_stored_about_cannot_be_requested(event: Event) -> None:
    """Neither has an input that no event knows a button, nor what has been erased."""
    client = browser("administrator")
    for entity in ("USR-1", "erased-0123456789abcdef"):
        page = client.post("/admin/sync/erasure/find/", WHOM | {"entity_id": entity}).content.decode()
        assert "Nothing is stored for this entity type and id." in page
        assert "Request erasure" not in page
        assert 'name="ground"' not in page


def test_no_legal_ground_is_chosen_beforehand(event: Event) -> None:
    client = browser("administrator")
    page = client.post("/admin/sync/erasure/find/", WHOM).content.decode()
    assert re.search(r'<option value=""( selected)?>Choose a ground</option>', page)
    assert not re.search(r'<option value="[^"]+" selected', page)
    answer = client.post("/admin/sync/erasure/request/", WHOM | WHY | {"ground": ""})
    assert list(answer.context["form"].errors) == ["ground"]
    assert not Erasure.objects.exists()
