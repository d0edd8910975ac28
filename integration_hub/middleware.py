"""Middleware for all responses: release the database connection, and send errors to machines as JSON."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from console.middleware import FOR_PEOPLE
from database.connection import release_connection
from webhooks.catalogue.codes import choose_language
from webhooks.receiving.answers import problem_answer
from webhooks.views import to_http_response

GetResponse = Callable[[HttpRequest], HttpResponse]

_CODES = {
    400: "bad-request",
    404: "unknown-path",
    405: "wrong-method",
    413: "too-large",
    429: "too-many-requests",
    503: "storage-unavailable",
}


class ConnectionReleaseMiddleware:
    """Releases the database connection before the response is sent, so that a slow client does not hold it."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        release_connection()
        return response


class ProblemJsonMiddleware:
    """Replaces error responses outside the console by problem+json, whatever part of Django made them."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        is_problem = response.get("Content-Type", "").startswith("application/problem+json")
        if response.status_code < 400 or is_problem or request.path.startswith(FOR_PEOPLE):
            return response
        fallback = "internal-error" if response.status_code >= 500 else "unknown-path"
        code = _CODES.get(response.status_code, fallback)
        language = choose_language(request.headers.get("Accept-Language"))
        return to_http_response(problem_answer(code, language, status=response.status_code))
