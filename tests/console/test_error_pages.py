"""What a person reads where a page cannot be shown: in the console's dress, in words, with a way out."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.views.defaults import bad_request, server_error

from tests.support.people import browser, person

WAY_OUT = '<a class="button" href="/admin/">'


def sound(page: str) -> str:
    """The page, which obeys our policy: nothing inline in it."""
    assert WAY_OUT in page
    assert "style=" not in page
    assert not re.search(r"<style|<script(?![^>]* src=)| on[a-z]+=", page)
    return page


@pytest.mark.django_db
def test_a_form_from_before_another_login_says_that_nothing_was_changed() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(person("support"))
    answer = client.post("/admin/preferences/", {"csrfmiddlewaretoken": "of another login"})
    assert answer.status_code == 403
    page = sound(answer.content.decode())
    assert "You probably logged in again after you opened this page." in page
    assert "<h1>Nothing was changed</h1>" in page
    assert 'id="console-nav"' in page
    assert "script-src 'self'" in answer["Content-Security-Policy"]


@pytest.mark.django_db
def test_a_stale_form_to_log_in_is_answered_in_words_too() -> None:
    assert User.objects.count() == 0
    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "x", "password": "x"})
    assert answer.status_code == 403
    assert 'id="console-nav"' not in sound(answer.content.decode())


@pytest.mark.django_db
def test_an_address_that_is_not_understood_is_a_page() -> None:
    answer = browser("administrator").get("/admin/auth/user/?password__startswith=a")
    assert answer.status_code == 400
    assert "<h1>Bad request</h1>" in sound(answer.content.decode())


def test_the_pages_for_what_is_broken_need_no_database() -> None:
    request = RequestFactory().get("/admin/")
    for answer, title in (
        (server_error(request), "Something went wrong"),
        (bad_request(request, ValueError()), "Bad request"),
    ):
        assert f"<h1>{title}</h1>" in sound(answer.content.decode())
