"""As whom, in which session and by which request staff do what they do: on every audit entry of theirs."""

import hashlib
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from django.http import HttpRequest, HttpResponse

from audit.canonical import JSONValue
from audit.circumstances import Tell, under

_READING = ("GET", "HEAD", "OPTIONS")


class Circumstances:
    """Middleware: what is appended to the audit log while a page of the console is made tells of its request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/admin/"):
            return self._get_response(request)
        tell = circumstances_of(request)
        if request.method not in _READING:
            tell()  # the roles before the request, which may take some away
        with under(tell):
            return self._get_response(request)


def circumstances_of(request: HttpRequest) -> Tell:
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
