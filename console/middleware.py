"""Middleware of the console: the audit context, preferences, messages and the Content-Security-Policy."""

import hashlib
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from django.contrib.messages.middleware import MessageMiddleware
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from audit.entries.actor_context import ReadContext, actor_context
from audit.format.canonical_json import JSONValue
from console.people.preferences import session_time_zone

GetResponse = Callable[[HttpRequest], HttpResponse]

FOR_PEOPLE = ("/admin/", "/static/")
_READING = ("GET", "HEAD", "OPTIONS")
_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)


class Circumstances:
    """Middleware: what is appended to the audit log while a page of the console is made tells of its request."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/admin/"):
            return self._get_response(request)
        tell = circumstances_of(request)
        if request.method not in _READING:
            tell()  # the roles before the request, which may take some away
        with actor_context(tell):
            return self._get_response(request)


def circumstances_of(request: HttpRequest) -> ReadContext:
    """`request`: a name of its own; `roles`: the groups at this time; `session`: a name that opens none."""
    number, kept = str(uuid4()), dict[Any, dict[str, JSONValue]]()

    def tell() -> dict[str, JSONValue]:
        user: Any = request.user
        if user.pk not in kept:
            kept[user.pk] = {"request": number, "roles": _roles(user), "session": _session(request)}
        return kept[user.pk]

    return tell


def _roles(user: Any) -> list[JSONValue]:
    named = list(user.groups.order_by("name").values_list("name", flat=True)) if user.pk else []
    return ["superuser", *named] if user.is_superuser else named


def _session(request: HttpRequest) -> str:
    """The session's key opens it, so the log has a hash of it: the same for all that was done in it."""
    key = request.session.session_key or ""
    return hashlib.sha256(key.encode()).hexdigest()[:12] if key else ""


class PersonalConsole:
    """Middleware: a person's pages tell times in the person's zone.

    What was chosen stands in the session, so that a page costs no statement for it.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        zone = session_time_zone(request) if request.path.startswith("/admin/") else None
        if zone is None:
            return self._get_response(request)
        with timezone.override(zone):
            return self._get_response(request)


class ConsoleMessages(MessageMiddleware):
    """Messages are for people: no webhook pays for a place to keep them."""

    def __call__(self, request: HttpRequest) -> Any:
        return (
            super().__call__(request) if request.path.startswith(FOR_PEOPLE) else self.get_response(request)
        )


class ConsolePolicy:
    """The Content-Security-Policy of every page: no inline script, no inline style, no other host."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response.setdefault("Content-Security-Policy", _POLICY)
        return response
