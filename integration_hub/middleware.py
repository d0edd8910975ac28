"""What holds for every answer: it is sent without a connection to the database, and machines get JSON."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from console.middleware import FOR_PEOPLE
from database.connection import release_connection
from webhooks.catalogue.codes import choose_language
from webhooks.receiving.answers import problem
from webhooks.views import respond

GetResponse = Callable[[HttpRequest], HttpResponse]

_CODES = {
    400: "bad-request",
    404: "unknown-path",
    405: "wrong-method",
    413: "too-large",
    429: "too-many-requests",
    503: "storage-unavailable",
}


class Unhurried:
    """Whoever takes long to read an answer holds no connection to the database meanwhile, once the answer is made."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        release_connection()
        return response


class MachineErrors:
    """Outside the console every error is problem+json, whatever part of Django made it, DEBUG or not."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        is_ours = response.get("Content-Type", "").startswith("application/problem+json")
        if response.status_code < 400 or is_ours or request.path.startswith(FOR_PEOPLE):
            return response
        fallback = "internal-error" if response.status_code >= 500 else "unknown-path"
        code = _CODES.get(response.status_code, fallback)
        language = choose_language(request.headers.get("Accept-Language"))
        return respond(problem(code, language, status=response.status_code))
