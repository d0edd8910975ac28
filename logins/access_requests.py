"""Request and approve what the requester may not do alone: give a person a role, or a role permissions, take the
right to read the audit log from a person, and set the password of a person who has that right.

A person may grant permissions that they have. Granting others takes two people, or a superuser. Taking the right to
read the audit log always takes two people: those who are overseen must not remove those who watch, nor log in as them.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from logins.held_permissions import CHANGE_PEOPLE
from logins.models import AccessChange, AccessRequest, AccessRequestState
from logins.second_person import Decider, possible_deciders, why_not_second

EXPIRES_AFTER = timedelta(days=7)
# From the approval on, in which the requester sets the password.
PASSWORD_PERIOD = timedelta(days=1)
MAX_OPEN = 100


class AccessRefused(ValueError):
    """The decision was refused, with a sentence for the person who made it."""


def open_requests() -> QuerySet[AccessRequest]:
    """Return the requests that can still be decided."""
    since = timezone.now() - EXPIRES_AFTER
    return AccessRequest.objects.filter(state=AccessRequestState.OPEN, requested_at__gt=since)


def is_open(request: AccessRequest) -> bool:
    """Return True if the request is neither decided nor expired."""
    is_recent = request.requested_at > timezone.now() - EXPIRES_AFTER
    return request.state == AccessRequestState.OPEN and is_recent


def permission_names(permissions: QuerySet[Permission]) -> set[str]:
    """Return permissions as `app.codename`."""
    names = permissions.order_by().values_list("content_type__app_label", "codename")
    return {f"{label}.{codename}" for label, codename in names}


def request_role(person: User, role: Group, *, by: User, address: str = "") -> AccessRequest:
    """Request a role for a person. Returns the open request if there is one already. Call it in a transaction."""
    return _find_or_create_request(AccessRequest(person=person, role=role, role_name=role.name), by, address)


def request_permissions(
    role: Group, permissions: Collection[str], *, by: User, address: str = ""
) -> AccessRequest:
    """Request permissions for a role. Returns the open request for the same ones if there is one already."""
    request = AccessRequest(role=role, role_name=role.name, permissions=sorted(permissions))
    return _find_or_create_request(request, by, address)


def request_removal(
    person: User, change: AccessChange, role: Group | None, *, reason: str, by: User, address: str = ""
) -> AccessRequest:
    """Request what takes the right to read the log from a person, or a new password for such a person. Returns the open
    request for the same if there is one already.
    """
    request = AccessRequest(person=person, change=change, role=role, reason=reason)
    request.role_name = role.name if role is not None else ""
    return _find_or_create_request(request, by, address)


def use_password_approval(person: User, by: User) -> bool:
    """Use up an approval to set this person's password. Returns False if there is none of the last day. Call it in the
    transaction that sets the password.
    """
    used = password_approvals(person, by).update(state=AccessRequestState.USED)
    return bool(used)


def password_approvals(person: User, by: User) -> QuerySet[AccessRequest]:
    """Return the requests by which `by` may set the password of this person now."""
    return AccessRequest.objects.filter(
        change=AccessChange.PASSWORD,
        person=person,
        requested_by=by,
        state=AccessRequestState.APPROVED,
        decided_at__gt=timezone.now() - PASSWORD_PERIOD,
    )


def requested_permissions(request: AccessRequest) -> QuerySet[Permission]:
    """Return the permissions that approval gives or takes: those of the role now, or those that the role gets."""
    if request.person_id:
        return Permission.objects.filter(group=request.role_id)
    named = [name.partition(".") for name in request.permissions]
    found = Permission.objects.filter(codename__in=[codename for _label, _dot, codename in named])
    labels = found.values_list("pk", "content_type__app_label", "codename")
    chosen = [pk for pk, label, codename in labels if f"{label}.{codename}" in request.permissions]
    return Permission.objects.filter(pk__in=chosen)


def why_not_approve(request: AccessRequest, by: User) -> str:
    """Return a sentence that says why this person cannot approve the request, or "" if they can."""
    return _why_not_concerned(request, by) or why_not_second(
        by.pk, request.requested_by_id, CHANGE_PEOPLE, request.requested_at
    )


def _why_not_concerned(request: AccessRequest, by: User) -> str:
    """Return a sentence if the person is too close to the request to approve it, or if it cannot be approved."""
    if by.pk == request.requested_by_id:
        return _("You requested this, so another administrator must approve it.")
    if by.pk == request.person_id:
        return _("You cannot change your own roles. Another administrator must approve this.")
    if not request.person_id and not by.is_superuser and by.groups.filter(pk=request.role_id).exists():
        return _("You hold this role, so another administrator must approve this.")
    if request.role_id is None and request.change in (AccessChange.GIVE, AccessChange.TAKE_ROLE):
        return _("The role no longer exists.")
    return ""


def who_can_approve(request: AccessRequest) -> list[Decider]:
    """Return who can approve the request, and from when: see `possible_deciders`."""
    return possible_deciders(
        request.requested_by_id,
        CHANGE_PEOPLE,
        request.requested_at,
        lambda person: not _why_not_concerned(request, person),
    )


def decide_request(request: AccessRequest, *, approves: bool, by: User, address: str = "") -> None:
    """Approve a request, which changes the access at once, or reject it; the requester may withdraw it.

    1. Refuse a person who cannot approve it.
    2. Change the state by compare-and-set: of two people who decide at the same time, one does.
    3. Change the access.
    4. Append the entries: the decision, and the change as the console records it.

    Raises AccessRefused if it was decided before, has expired, or must be approved by another person.
    """
    with transaction.atomic():
        if approves and (why_not := why_not_approve(request, by)):
            raise AccessRefused(why_not)
        state = AccessRequestState.APPROVED if approves else AccessRequestState.REFUSED
        decided = open_requests().filter(pk=request.pk)
        if not decided.update(state=state, decided_by=by, decided_at=timezone.now()):
            raise AccessRefused(_("This was already decided, or it expired after 7 days without a decision."))
        changed = _change_access(request) if approves else {}
        details = _entry_details(request) | {
            "requested_by": f"person:{request.requested_by_id}",
            "address": address,
        }
        actions = [(f"access.{state}", details)]
        if changed:
            kind = "person.changed" if request.person_id else "group.changed"
            actions.append((kind, changed | {"address": address}))
        append_entries(
            *(NewEntry(request.stream, name, f"person:{by.pk}", values) for name, values in actions)
        )
    request.refresh_from_db()


def _find_or_create_request(new_request: AccessRequest, by: User, address: str) -> AccessRequest:
    same_requests = {
        "change": new_request.change,
        "person": new_request.person_id,
        "role": new_request.role_id,
        "permissions": new_request.permissions,
    }
    if open_request := open_requests().filter(**same_requests).first():
        return open_request
    new_request.requested_by, new_request.requested_at = by, timezone.now()
    new_request.save(force_insert=True)
    details = _entry_details(new_request) | {"address": address}
    append_entries(NewEntry(new_request.stream, "access.requested", f"person:{by.pk}", details))
    return new_request


def _entry_details(request: AccessRequest) -> dict[str, JSONValue]:
    details: dict[str, JSONValue] = {"request": request.pk, "role": request.role_id}
    if request.change != AccessChange.GIVE:
        details |= {"change": str(request.change), "reason": request.reason}
    return details | ({"permissions": list(request.permissions)} if request.permissions else {})


def _change_access(request: AccessRequest) -> dict[str, JSONValue]:
    """Change the access as requested. Returns the values before and after, for the audit log."""
    if request.change == AccessChange.GIVE:
        return _give_access(request)
    if request.change == AccessChange.PASSWORD:
        # The requester sets it: nobody else should know it.
        return {}
    person: Any = request.person
    if request.change == AccessChange.TAKE_ROLE:
        before = sorted(person.groups.values_list("pk", flat=True))
        person.groups.remove(request.role_id)
        after = [pk for pk in before if pk != request.role_id]
        return {"before": {"groups": list(before)}, "after": {"groups": list(after)}}
    flag = "is_active" if request.change == AccessChange.DISABLE else "is_staff"
    person.refresh_from_db(fields=[flag])
    was = getattr(person, flag)
    setattr(person, flag, False)
    person.save(update_fields=[flag])
    return {"before": {flag: was}, "after": {flag: False}}


def _give_access(request: AccessRequest) -> dict[str, JSONValue]:
    """Give the role or the permissions. Returns the values before and after, for the audit log."""
    rows: Any
    if request.person is not None:
        rows, name, new = request.person.groups, "groups", [request.role_id]
    else:
        rows, name = request.role.permissions, "permissions"  # type: ignore[union-attr]
        new = list(requested_permissions(request).values_list("pk", flat=True))
    before = sorted(rows.values_list("pk", flat=True))
    rows.add(*new)
    return {"before": {name: list(before)}, "after": {name: sorted({*before, *new})}}
