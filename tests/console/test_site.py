"""The site around the pages: one menu, without that of Django."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.support.people import browser

pytestmark = pytest.mark.django_db


def test_the_address_of_an_application_leads_to_the_overview() -> None:
    client = browser("support")
    for application in ("webhooks", "sync", "exports", "audit", "auth"):
        answer = client.get(f"/admin/{application}/")
        assert (answer.status_code, answer["Location"]) == (302, "/admin/")


def test_a_stranger_is_asked_to_log_in_at_the_address_of_an_application() -> None:
    assert "/admin/login/" in Client().get("/admin/sync/")["Location"]


@pytest.mark.submission
def test_no_page_lists_django_applications() -> None:
    client = browser("support")
    for page in ("", "preferences/", "webhooks/event/", "sync/connection/"):
        assert client.get(f"/admin/{page}").context["available_apps"] == []


LOGGED_OUT = "You were logged out, so the form was not saved. Log in, then enter it again."


@pytest.mark.parametrize("role", [None, "no staff"])
def test_a_form_that_is_sent_after_the_logout_is_said_not_to_be_saved(role: str | None) -> None:
    client = Client()
    if role:
        client.force_login(User.objects.create_user("guest"))
    page = client.post("/admin/preferences/", {"time_zone": "UTC"}, follow=True)
    assert page.redirect_chain == [("/admin/login/?next=/admin/preferences/", 302)]
    assert LOGGED_OUT in page.content.decode()
    # Once, and never for a page that was only opened.
    assert LOGGED_OUT not in client.get("/admin/preferences/", follow=True).content.decode()


def test_a_logout_is_no_form_that_was_lost() -> None:
    client = browser("support")
    client.post("/admin/logout/")
    assert LOGGED_OUT not in client.post("/admin/logout/", follow=True).content.decode()


def test_after_a_login_a_link_to_another_site_leads_to_the_overview() -> None:
    User.objects.create_user("anna", password="correct horse battery", is_staff=True)
    form = {"username": "anna", "password": "correct horse battery", "next": "https://evil.test/"}
    assert Client().post("/admin/login/", form)["Location"] == "/admin/"


def test_no_browser_stores_the_page_that_changes_a_password() -> None:
    assert "no-store" in browser("support").get("/admin/password_change/")["Cache-Control"]


def test_static_files_are_not_for_other_sites() -> None:
    answer = Client().get("/static/console/lists.css", headers={"Origin": "https://evil.test"})
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer
