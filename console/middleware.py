"""Middleware of the console: sessions, users, messages, the audit context, preferences, the Content-Security-Policy,
damaged values.
"""

import hashlib
import logging
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.deprecation import MiddlewareMixin
from django.views.defaults import page_not_found

from audit.entries.actor_context import ReadContext, actor_context
from audit.format.canonical_json import JSONValue
from console.base.damaged_rows import find_damage
from console.navigation import remember_list
from console.people.logins import HAS_TO_CHOOSE
from console.people.preferences import session_time_zone
from database.move_refusal import HubIsMoving

GetResponse = Callable[[HttpRequest], HttpResponse]

_logger = logging.getLogger("hub.console")
FOR_PEOPLE = ("/admin/", "/static/")
# The paths of `webhooks.views.MachineView`.
FOR_MACHINES = ("/webhooks/", "/outcomes/")
# No name of a header begins like this in META.
REQUEST_ID_KEY = "hub.request_id"
_READING = ("GET", "HEAD", "OPTIONS")
_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)


class ActorContextMiddleware:
    """Middleware that adds request, session and roles to the audit entries that people cause in the console."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/admin/"):
            return self._get_response(request)
        read_context = actor_context_reader(request)
        if request.method not in _READING:
            # Reads the roles before the request, which may take some away.
            read_context()
        with actor_context(read_context):
            return self._get_response(request)


def actor_context_reader(request: HttpRequest) -> ReadContext:
    """Return the function that reads the context: the request's id, the person's roles, a hash of the session."""
    # The id in the response and in log lines, if the middleware of the project has set it.
    request_id = str(request.META.get(REQUEST_ID_KEY) or uuid4())
    contexts = dict[Any, dict[str, JSONValue]]()

    def read_context() -> dict[str, JSONValue]:
        user: Any = request.user
        # By user, because a login or a logout changes the user within the request.
        if user.pk not in contexts:
            contexts[user.pk] = {
                "request": request_id,
                "roles": _role_names(user),
                "session": _session_hash(request),
            }
        return contexts[user.pk]

    return read_context


def _role_names(user: Any) -> list[JSONValue]:
    named = list(user.groups.order_by("name").values_list("name", flat=True)) if user.pk else []
    return ["superuser", *named] if user.is_superuser else named


def _session_hash(request: HttpRequest) -> str:
    """Return a short hash of the session's key, the same for all requests of the session."""
    # Whoever knows the key itself can use the session, so the audit log must not contain it.
    key = request.session.session_key or ""
    return hashlib.sha256(key.encode()).hexdigest()[:12] if key else ""


class PersonalConsole:
    """Middleware that shows all times of a page in the time zone that the person chose."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # The choice is in the session, so that no page needs a statement for it.
        zone = session_time_zone(request) if request.path.startswith("/admin/") else None
        if zone is None:
            return self._get_response(request)
        with timezone.override(zone):
            return self._get_response(request)


class RememberedList:
    """Middleware that lets the browser remember the list from which it opened a page: see `remember_list`."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        if request.path.startswith("/admin/"):
            remember_list(request, response)
        return response


class ChosenPassword:
    """Middleware that shows a person whose password someone else set nothing but the page that changes it."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        self._page = reverse("admin:password_change")
        self._allowed = (self._page, reverse("admin:logout"), reverse("admin:login"))

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # The mark is in the session, so that no page needs a statement for it.
        is_console = request.path.startswith("/admin/") and request.path not in self._allowed
        if is_console and HAS_TO_CHOOSE in request.session:
            return redirect(self._page)
        return self._get_response(request)


class ConsoleNotFound:
    """Middleware that answers with the console's page for an address that does not exist, with DEBUG on too: Django
    would list all addresses of the hub.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        is_unknown = response.status_code == 404 and request.resolver_match is None
        return page_not_found(request, Http404()) if is_unknown and _is_for_people(request) else response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the page for an object that a view did not find."""
        is_unknown = isinstance(exception, Http404) and _is_for_people(request)
        return page_not_found(request, exception) if is_unknown else None


def _is_for_people(request: HttpRequest) -> bool:
    return request.path.startswith(FOR_PEOPLE)


class _NotForMachines(MiddlewareMixin):
    """Middleware of Django's that does nothing for requests of machines, which have no session."""

    def __call__(self, request: HttpRequest) -> Any:
        if request.path.startswith(FOR_MACHINES):
            return self.get_response(request)
        return super().__call__(request)


class ConsoleSessions(_NotForMachines, SessionMiddleware):
    """Django's sessions."""

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        """Store the session. Return the page about the move if it can change no more."""
        try:
            return super().process_response(request, response)
        except HubIsMoving:
            return _moving_page(request)


class ConsoleUsers(_NotForMachines, AuthenticationMiddleware):
    """Django's `request.user`."""


class ConsoleMessages(_NotForMachines, MessageMiddleware):
    """Django's messages."""


class CompressedPages(GZipMiddleware):
    """Middleware that compresses the pages of the console, to a sixth of their size.

    Downloads stay as they are, because they are resumed by position, and so do answers to machines.

    Whoever makes a browser request a page many times, with texts that the page repeats, could guess from the lengths
    what else is on it (BREACH). A request that another site caused is therefore answered uncompressed. Besides, Django
    adds random bytes to each page and masks its CSRF token anew, and a generated secret is on one response only.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Compress a whole page that its own site, or the person, asked for. Others are returned unchanged."""
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if response.streaming or not (is_page and request.path.startswith("/admin/")):
            return response
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return response
        return super().process_response(request, response)


class ConsolePolicy:
    """Middleware that sets the Content-Security-Policy: no inline script, no inline style, no other host."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response.setdefault("Content-Security-Policy", _POLICY)
        return response


class MovingPage:
    """Middleware that answers with a page about the move if the database refused to store what a page of the console
    changes. Pages that only read work as before.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the page, with the status 503; None if nothing was refused because of a move."""
        is_refused = isinstance(exception, HubIsMoving) and request.path.startswith("/admin/")
        return _moving_page(request) if is_refused else None


def _moving_page(request: HttpRequest) -> HttpResponse:
    return render(request, "console/base/moving.html", status=503)


class DamagedValuePage:
    """Middleware that answers with a page about the damaged row if a page of the console met a stored value that
    cannot be read. Other errors are not handled.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the page, with the status 409, and log the error; None if no stored value is the cause."""
        if not request.path.startswith("/admin/"):
            return None
        rows = find_damage(request, exception)
        if rows is None:
            return None
        names = "; ".join(str(row) for row in rows) or "the row is not known"
        _logger.error("A stored value cannot be read: %s", names, exc_info=exception)
        return render(request, "console/base/damaged_value.html", {"rows": rows}, status=409)
