"""Django's error pages in DEBUG: no values of variables, and no secret of the process."""

import html
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import RequestFactory
from django.utils.module_loading import import_string
from django.views.debug import get_default_exception_reporter_filter

from sync.connectors.values.secret_forms import SecretSet, remember_secrets
from tests.support.leaks.echoed_forms import readable_in

pytestmark = pytest.mark.pure


@pytest.fixture(autouse=True)
def _own_filter() -> Iterator[None]:
    yield
    get_default_exception_reporter_filter.cache_clear()


SECRET = "t0ken-of-a-debug-page"
PERSON = "anna.secret@example.com"


def test_an_error_page_has_neither_secrets_nor_personal_data(settings: Any) -> None:
    settings.DEBUG = True
    get_default_exception_reporter_filter.cache_clear()
    remember_secrets(SecretSet([SECRET]))
    request = RequestFactory().post(
        "/x?y=1",
        {"email": PERSON},
        headers={"Authorization": f"Bearer {SECRET}", "Cookie": f"session={SECRET}"},
    )
    local_variable = {"email": PERSON, "token": SECRET}
    try:
        raise ValueError(f"responded to {SECRET}", len(local_variable))
    except ValueError:
        made = import_string(settings.DEFAULT_EXCEPTION_REPORTER)(request, *sys.exc_info())
    page = made.get_traceback_html() + made.get_traceback_text()
    assert "test_error_reports.py" in page
    assert not readable_in(html.unescape(page), SECRET)
    assert PERSON not in page
