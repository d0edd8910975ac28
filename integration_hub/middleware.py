"""Middleware for all responses: name the request, release the database connection, check the host, send errors to
machines as JSON.
"""

import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.middleware.common import CommonMiddleware

from config_schema.codes.codes import choose_language
from config_schema.codes.trace_context import TRACE_ID
from console.middleware import FOR_PEOPLE, REQUEST_ID_KEY
from database.connection import release_connection
from integration_hub.logs.request_id import REQUEST_ID, new_request_id
from integration_hub.probes.answers import PROBE_PATHS
from sync.metrics.process_metrics import count_console_response, count_webhook, running_request
from webhooks.receiving.answers import problem_answer
from webhooks.views import AnswerResponse, to_http_response

GetResponse = Callable[[HttpRequest], HttpResponse]

_CODES = {
    400: "bad-request",
    404: "unknown-path",
    405: "wrong-method",
    413: "too-large",
    429: "too-many-requests",
    503: "storage-unavailable",
}
_ABOUT_THE_BODY = (
    "content-length",
    "content-type",
    "content-encoding",
    "content-language",
    "etag",
    "last-modified",
)


class RequestMetricsMiddleware:
    """Measures requests of sources and of the console. Not used without METRICS_TOKEN."""

    def __init__(self, get_response: GetResponse) -> None:
        if not settings.METRICS_TOKEN:
            raise MiddlewareNotUsed
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.monotonic()
        with running_request():
            response = self._get_response(request)
        seconds = time.monotonic() - began
        match = request.resolver_match
        if match is not None and match.url_name == "inbox" and isinstance(response, AnswerResponse):
            count_webhook(match.kwargs["slug"], response.code, response.status_code, seconds)
        elif request.path.startswith("/admin/"):
            count_console_response(response.status_code, seconds)
        return response


class RequestIdMiddleware:
    """Gives each request an id of the hub's own: in `X-Request-Id` of its response and in its log lines."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = new_request_id()
        request.META[REQUEST_ID_KEY] = request_id
        # The trace is known once a webhook is verified.
        token, trace = REQUEST_ID.set(request_id), TRACE_ID.set("")
        try:
            response = self._get_response(request)
        finally:
            REQUEST_ID.reset(token)
            TRACE_ID.reset(trace)
        response["X-Request-Id"] = request_id
        return response


class ConnectionReleaseMiddleware:
    """Releases the database connection before the response is sent, so that a slow client does not hold it."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        release_connection()
        return response


class HostMiddleware(CommonMiddleware):
    """Refuses hosts that ALLOWED_HOSTS does not name, as Django does, except for probes: they ask an IP address."""

    def process_request(self, request: HttpRequest) -> Any:
        """Check the host of the request. Raises DisallowedHost."""
        return None if request.path in PROBE_PATHS else super().process_request(request)


class ProblemJsonMiddleware:
    """Replaces error responses outside the console by problem+json, whatever part of Django made them."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        is_answer = isinstance(response, AnswerResponse)
        if response.status_code < 400 or is_answer or request.path.startswith(FOR_PEOPLE):
            return response
        fallback = "internal-error" if response.status_code >= 500 else "unknown-path"
        code = _CODES.get(response.status_code, fallback)
        language = choose_language(request.headers.get("Accept-Language"))
        problem = to_http_response(problem_answer(code, language, status=response.status_code))
        # What other middleware and the view have added holds for the new body too: Allow and the security headers.
        for name, value in response.items():
            if not name.lower().startswith(_ABOUT_THE_BODY):
                problem.headers.setdefault(name, value)
        return problem
