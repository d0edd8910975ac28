"""HTTP in and out: bytes to one service, its verdict back to HTTP."""

import logging
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from rest_framework.request import Request
from rest_framework.views import APIView

from webhooks.catalogue.codes import CATALOGUE, Language, choose_language, words
from webhooks.delivery_port import Delivering
from webhooks.encryption.at_rest import CannotOpen
from webhooks.receiving.answers import Answer, problem
from webhooks.receiving.incoming_request import read_arrival
from webhooks.receiving.outcome_links import event_of
from webhooks.receiving.receive import receive_webhook, tell_outcome

logger = logging.getLogger("hub.receive")

RETRY_SECONDS = 5


def respond(answer: Answer) -> HttpResponse:
    """An answer as an HTTP response. `no-store`: outcomes change and may hold personal data."""
    response = HttpResponse(answer.body, status=answer.status, content_type=answer.content_type)
    for name, value in answer.headers.items():
        response[name] = value
    response["Cache-Control"] = "no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def storage_unavailable(language: Language) -> Answer:
    """Nothing could be stored: said honestly, with a time to come back."""
    headers = {"Retry-After": str(RETRY_SECONDS)}
    return problem("storage-unavailable", language, status=settings.UNAVAILABLE_STATUS, headers=headers)


class MachineView(APIView):
    """A view for machines: no session, no content negotiation, JSON for every outcome."""

    delivering: Delivering | None = None

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return self.get_renderers()[0], "application/json"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Nothing to negotiate, nobody to authenticate: the gate decides."""

    def handle_exception(self, exc: Exception) -> Any:
        """The boundary: a database that is away is 503, anything else unforeseen 500; nothing of it is repeated.

        What cannot be opened is 503 too: while SEALING_KEYS change, the next process may know the key.
        """
        language = language_of(self.request)
        if isinstance(exc, DatabaseError):
            logger.error("the database raised %s", type(exc).__name__)  # its text holds values of rows
            return respond(storage_unavailable(language))
        if isinstance(exc, CannotOpen):
            logger.error("%s: check that SEALING_KEYS still contains every key in use", exc)
            return respond(storage_unavailable(language))
        logger.error("unexpected %s", type(exc).__name__, exc_info=exc)
        return respond(problem("internal-error", language))

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        allowed = {"Allow": ", ".join(self.allowed_methods)}
        return respond(problem("wrong-method", language_of(request), headers=allowed))

    options = http_method_not_allowed  # no CORS here: browsers have no business with this path


class Inbox(MachineView):
    """`POST /webhooks/{source}`."""

    http_method_names = ["post"]

    def post(self, request: Request, slug: str) -> HttpResponse:
        assert self.delivering is not None, "urls.py hands it in"
        arrival = read_arrival(request._request, slug)
        return respond(receive_webhook(arrival, language_of(request), self.delivering))


class OutcomeView(MachineView):
    """`GET /outcomes/{signed}`: what became of a webhook that was answered 202."""

    http_method_names = ["get", "head"]

    def get(self, request: Request, token: str) -> HttpResponse:
        assert self.delivering is not None, "urls.py hands it in"
        event = event_of(token)
        if event is None:
            return respond(problem("unknown-outcome", language_of(request)))
        return respond(tell_outcome(event, language_of(request), self.delivering.outcome(event)))


def problem_page(request: HttpRequest, code: str) -> HttpResponse:
    """`GET /problems/{code}`: the page that a problem's `type` points to, from the same catalogue."""
    language = language_of(request)
    if code not in CATALOGUE:
        return respond(problem("unknown-path", language))
    text = words(code, language)
    context = {"code": CATALOGUE[code], "words": text, "language": language}
    if "text/html" in request.headers.get("Accept", ""):
        return render(request, "webhooks/problem.html", context)
    document = {"code": code, "status": CATALOGUE[code].status, "title": text.title, "detail": text.detail}
    return JsonResponse(document | {"next_step": text.next_step}, json_dumps_params={"ensure_ascii": False})


def language_of(request: HttpRequest | Request) -> Language:
    return choose_language(request.headers.get("Accept-Language"))
