"""The reasons why requests of connectors fail are shown in the language of the reader."""

import pytest

from console.ui.request_failures import translate_finding, translate_request_failure
from tests.support.translation.catalogue_texts import bracketed_language, needs_gettext

pytestmark = [pytest.mark.pure, needs_gettext]


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("GET /api/users: responded with 500", "GET /api/users: [[responded with 500]]"),
        ("GET /api/users: no response in 10 s", "GET /api/users: [[[[no response]] in 10 s]]"),
        ("POST /token: the response contains no token", "POST /token: [[the response contains no token]]"),
        ("GET /api/users: an unknown reason", "GET /api/users: an unknown reason"),
        ("", ""),
    ],
)
def test_the_message_of_a_connector_keeps_its_request(message: str, shown: str) -> None:
    assert translate_request_failure(message) == message
    with bracketed_language():
        assert translate_request_failure(message) == shown


def test_the_message_of_another_system_is_not_translated() -> None:
    with bracketed_language():
        assert translate_finding("taken", "responded with 500") == "responded with 500"
        assert translate_finding("not-configured", "responded with 500") == "[[responded with 500]]"
