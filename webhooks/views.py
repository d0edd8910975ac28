"""HTTP views of receiving: each passes the request to one service and turns its answer into an HTTP response."""

import logging
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from rest_framework.request import Request
from rest_framework.views import APIView

from config_schema.codes.codes import CATALOGUE, Language, choose_language, code_texts
from config_schema.codes.messages import FOR_SUPPORT
from database.encryption.at_rest import CannotDecrypt
from database.move_refusal import HubIsMoving
from database.response_limit import limited_responses
from webhooks.delivery_port import DeliveryPort
from webhooks.receiving.answers import Answer, format_answer, problem_answer
from webhooks.receiving.incoming_request import read_incoming_request
from webhooks.receiving.outcome_links import answer_current_outcome, find_by_token
from webhooks.receiving.receive import (
    VerifiedRequestFailed,
    receive_handshake,
    receive_webhook,
)

logger = logging.getLogger("hub.receive")

RETRY_SECONDS = 5


class AnswerResponse(HttpResponse):
    """The HTTP response for an answer. Nothing replaces its body, which the receipt stores. `code`: of the answer."""

    code = ""


def to_http_response(answer: Answer) -> AnswerResponse:
    """Return an answer as an HTTP response. It must not be cached: outcomes change and may contain personal data."""
    response = AnswerResponse(answer.body, status=answer.status, content_type=answer.content_type)
    response.code = answer.code
    for name, value in answer.headers.items():
        response[name] = value
    response["Cache-Control"] = "no-store"
    # An answer may repeat texts of other systems, which no browser may guess to be HTML.
    response["X-Content-Type-Options"] = "nosniff"
    return response


def storage_unavailable(language: Language, code: str = "storage-unavailable") -> Answer:
    """Return the answer for a request that could not be stored, with `Retry-After`."""
    headers = {"Retry-After": str(RETRY_SECONDS)}
    return problem_answer(code, language, status=settings.UNAVAILABLE_STATUS, headers=headers)


class MachineView(APIView):
    """Base of the views that machines call: no session, no content negotiation, JSON for every answer."""

    delivery_port: DeliveryPort | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Answer within seconds, whatever the database does."""
        with limited_responses(settings.RESPONSE_SECONDS):
            return super().dispatch(request, *args, **kwargs)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return self.get_renderers()[0], "application/json"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Skip DRF's authentication, permissions and throttling: the gate verifies the sender."""

    def handle_exception(self, exc: Exception) -> Any:
        """Answer 503 if the database is unavailable and 500 for any other unexpected error, without its details.

        A value that cannot be decrypted is 503 too: while SEALING_KEYS change, another process may have the key.
        """
        if isinstance(exc, VerifiedRequestFailed):
            cause = exc.__cause__
            assert isinstance(cause, Exception), "it is raised from another"
            return to_http_response(format_answer(exc.source, self._failure_answer(cause)))
        return to_http_response(self._failure_answer(exc))

    def _failure_answer(self, error: Exception) -> Answer:
        language = request_language(self.request)
        if isinstance(error, HubIsMoving):
            return storage_unavailable(language, "hub-moving")
        if isinstance(error, DatabaseError):
            # Not the error's text, which contains values of rows.
            logger.error("the database raised %s", type(error).__name__)
            return storage_unavailable(language)
        if isinstance(error, CannotDecrypt):
            logger.error("%s", error)
            return storage_unavailable(language)
        logger.error("unexpected %s", type(error).__name__, exc_info=error)
        return problem_answer("internal-error", language)

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        allowed = {"Allow": ", ".join(self.allowed_methods)}
        return to_http_response(problem_answer("wrong-method", request_language(request), headers=allowed))

    # No CORS: browsers have no business with these paths.
    options = http_method_not_allowed


class WebhookView(MachineView):
    """`POST /webhooks/{source}`."""

    http_method_names = ["post"]

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer the handshake of a source that is switched on; any other request by this method is refused."""
        if request.method in ("GET", "OPTIONS"):
            incoming = read_incoming_request(request._request, kwargs["slug"])
            answer = receive_handshake(incoming, request_language(request))
            if answer is not None:
                return to_http_response(answer)
        return super().http_method_not_allowed(request, *args, **kwargs)

    def post(self, request: Request, slug: str) -> HttpResponse:
        assert self.delivery_port is not None, "urls.py passes it"
        incoming = read_incoming_request(request._request, slug)
        return to_http_response(receive_webhook(incoming, request_language(request), self.delivery_port))


class OutcomeView(MachineView):
    """`GET /outcomes/{token}`: the outcome of a request that was answered 202."""

    http_method_names = ["get", "head"]

    def get(self, request: Request, token: str) -> HttpResponse:
        assert self.delivery_port is not None, "urls.py passes it"
        event_or_batch, language = find_by_token(token), request_language(request)
        if event_or_batch is None:
            return to_http_response(problem_answer("unknown-outcome", language))
        return to_http_response(answer_current_outcome(event_or_batch, language, self.delivery_port))


def problem_page(request: HttpRequest, code: str) -> HttpResponse:
    """Serve `GET /problems/{code}`, the page that the `type` of a problem document points to."""
    language = request_language(request)
    if code not in CATALOGUE:
        return to_http_response(problem_answer("unknown-path", language))
    text = code_texts(code, language)
    context = {
        "code": CATALOGUE[code],
        "words": text,
        "language": language,
        "for_support": FOR_SUPPORT[language],
    }
    if "text/html" in request.headers.get("Accept", ""):
        return render(request, "webhooks/problem.html", context)
    document = {"code": code, "status": CATALOGUE[code].status, "title": text.title, "detail": text.detail}
    document |= {"next_step": text.next_step, "person": text.for_person}
    headers = {"Cache-Control": "no-store"}
    return JsonResponse(document, json_dumps_params={"ensure_ascii": False}, headers=headers)


def request_language(request: HttpRequest | Request) -> Language:
    return choose_language(request.headers.get("Accept-Language"))
