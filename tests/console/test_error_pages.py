"""Error pages of the console: with its layout, a readable text and a link back."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.views.defaults import bad_request, server_error

from tests.support.pages import on_one_line
from tests.support.people import browser, person

WAY_OUT = '<a class="button" href="/admin/">'


def assert_compliant_page(page: str) -> str:
    """Assert that a page has no inline styles or scripts. Returns its text."""
    assert WAY_OUT in page
    assert "style=" not in page
    assert not re.search(r"<style|<script(?![^>]* src=)| on[a-z]+=", page)
    return on_one_line(page)


@pytest.mark.django_db
def test_a_form_from_before_another_login_says_that_nothing_was_changed() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(person("support"))
    answer = client.post("/admin/preferences/", {"csrfmiddlewaretoken": "of another login"})
    assert answer.status_code == 403
    page = assert_compliant_page(answer.content.decode())
    assert "You probably logged in again after you opened this page." in page
    assert "<h1>Nothing was changed</h1>" in page
    assert 'id="console-nav"' in page
    assert "script-src 'self'" in answer["Content-Security-Policy"]


@pytest.mark.django_db
def test_a_form_of_someone_who_was_logged_out_says_so_and_links_to_the_login() -> None:
    answer = Client(enforce_csrf_checks=True).post("/admin/preferences/", {})
    page = assert_compliant_page(answer.content.decode())
    assert "You are logged out." in page
    assert 'href="/admin/login/"' in page
    assert "probably logged in again" not in page


@pytest.mark.django_db
def test_a_stale_login_form_gets_a_readable_page_too() -> None:
    assert User.objects.count() == 0
    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "x", "password": "x"})
    assert answer.status_code == 403
    assert 'id="console-nav"' not in assert_compliant_page(answer.content.decode())


@pytest.mark.django_db
def test_a_malformed_address_gets_a_readable_page() -> None:
    answer = browser("administrator").get("/admin/auth/user/?password__startswith=a")
    assert answer.status_code == 400
    assert "<h1>Bad request</h1>" in assert_compliant_page(answer.content.decode())


def test_error_pages_need_no_database() -> None:
    request = RequestFactory().get("/admin/")
    for answer, title in (
        (server_error(request), "Something went wrong"),
        (bad_request(request, ValueError()), "Bad request"),
    ):
        assert f"<h1>{title}</h1>" in assert_compliant_page(answer.content.decode())
