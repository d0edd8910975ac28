"""The site around the pages: one menu, without that of Django."""

import pytest
from django.test import Client

from tests.support.people import browser

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("application", ["webhooks", "sync", "exports", "audit", "auth"])
def test_the_address_of_an_application_leads_to_the_overview(application: str) -> None:
    answer = browser("support").get(f"/admin/{application}/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")


def test_a_stranger_is_asked_to_log_in_at_the_address_of_an_application() -> None:
    assert "/admin/login/" in Client().get("/admin/sync/")["Location"]


@pytest.mark.parametrize("page", ["", "preferences/", "webhooks/event/", "sync/connection/"])
def test_no_page_lists_django_applications(page: str) -> None:
    assert browser("support").get(f"/admin/{page}").context["available_apps"] == []
