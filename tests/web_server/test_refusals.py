"""The answers of the server itself."""

import pytest

from config_schema.codes.codes import CATALOGUE
from integration_hub.web_server.refusals import RefusedRequest, build_response, internal_error, slow_request
from tests.web_server.raw_client import read_answer

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    "refusal", [RefusedRequest(), RefusedRequest(431, "head"), slow_request(), internal_error()]
)
def test_a_refusal_is_a_problem_document_that_ends_the_connection(refusal: RefusedRequest) -> None:
    status, headers, body = read_answer(build_response(refusal))
    assert status == refusal.status
    assert headers["Content-Type"] == "application/problem+json"
    assert (headers["Connection"], headers["Cache-Control"]) == ("close", "no-store")
    assert f'"/problems/{refusal.code}"'.encode() in body
    assert refusal.code in CATALOGUE


def test_an_overload_response_says_when_to_retry() -> None:
    for status in (503, 429, 599):  # UNAVAILABLE_STATUS, which may have no phrase
        response = build_response(RefusedRequest(status, "busy", "storage-unavailable"))
        assert read_answer(response)[1]["Retry-After"] == "5"


def test_the_refusal_of_a_head_request_has_no_body() -> None:
    response = build_response(RefusedRequest(), without_body=True)
    assert response.endswith(b"\r\n\r\n")
    assert read_answer(response, "HEAD")[2] == b""
