"""Append what staff do to the audit log: who, from which address, and why."""

from collections.abc import Mapping

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect

from audit.entries.acting_person import ActingPerson
from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from console.ui.links import audit_log_url
from webhooks.receiving.incoming_request import read_client_address

FieldValues = dict[str, JSONValue]


def request_actor(request: HttpRequest) -> str:
    """Return the actor of a request as the audit log names it: `person:<id>`, or `anonymous` without a login."""
    user = getattr(request, "user", None)
    return f"person:{user.pk}" if user is not None and user.is_authenticated else "anonymous"


def require_staff_user(request: HttpRequest) -> User:
    """Return the logged-in person. Raises PermissionDenied if there is none; `admin_view` redirects such requests
    before that.
    """
    if not request.user.is_authenticated:
        raise PermissionDenied
    return request.user


def acting_person(request: HttpRequest) -> ActingPerson:
    """Return the logged-in person and their address. Raises PermissionDenied without a login."""
    return ActingPerson(require_staff_user(request), client_address(request))


def client_address(request: HttpRequest) -> str:
    """Return the client's IP address, or "". Reads X-Forwarded-For only as far as trusted proxies wrote it."""
    return read_client_address(request) or ""


def record_action(
    request: HttpRequest, stream: str, action: str, details: Mapping[str, JSONValue] | None = None
) -> None:
    """Append one entry of the logged-in person, with the address. Raises NotInTransaction outside the transaction of
    the change.
    """
    append_entries(
        NewEntry(
            stream, action, request_actor(request), {**(details or {}), "address": client_address(request)}
        )
    )


def redirect_to_audit_log(request: HttpRequest, stream: str) -> HttpResponseRedirect:
    """Redirect to the entries of a stream. Raises PermissionDenied if the person may not read the audit log."""
    if not request.user.has_perm("audit.view_entry"):
        raise PermissionDenied
    return HttpResponseRedirect(audit_log_url(stream))


def reason_details(request: HttpRequest) -> FieldValues:
    """Return the reason given for this request as entry details; empty if none was asked for."""
    reason = getattr(request, "reason", "")
    return {"reason": reason} if reason else {}
