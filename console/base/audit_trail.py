"""Append what staff do to the audit log: who did it, from where, and why. Lead to what is there about a row."""

from collections.abc import Mapping

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from console.ui.links import audit_log_url
from webhooks.receiving.incoming_request import address_of

FieldValues = dict[str, JSONValue]


def request_actor(request: HttpRequest) -> str:
    """`person:<id>`; `anonymous` where nobody is logged in."""
    user = getattr(request, "user", None)
    return f"person:{user.pk}" if user is not None and user.is_authenticated else "anonymous"


def require_staff_user(request: HttpRequest) -> User:
    """The person who is logged in. `PermissionDenied` for nobody, whom `admin_view` does not let in anyway."""
    if not request.user.is_authenticated:
        raise PermissionDenied
    return request.user


def client_address(request: HttpRequest) -> str:
    """Where the request came from, or "". X-Forwarded-For counts as far as our own proxies wrote it."""
    return address_of(request) or ""


def record_action(
    request: HttpRequest, stream: str, action: str, details: Mapping[str, JSONValue] | None = None
) -> None:
    """Append one entry of the logged-in person. `NotInTransaction` outside the transaction of the change."""
    append_entries(
        NewEntry(
            stream, action, request_actor(request), {**(details or {}), "address": client_address(request)}
        )
    )


def redirect_to_audit_log(request: HttpRequest, stream: str) -> HttpResponseRedirect:
    """Lead to the entries of a stream. `PermissionDenied` for a person who may not read the audit log."""
    if not request.user.has_perm("audit.view_entry"):
        raise PermissionDenied
    return HttpResponseRedirect(audit_log_url(stream))


def reason_details(request: HttpRequest) -> FieldValues:
    """The reason that was given for what the request does, where one was asked for."""
    reason = getattr(request, "reason", "")
    return {"reason": reason} if reason else {}
