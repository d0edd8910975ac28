"""Decide who may be the second person of an act that needs two.

The second person held the permission before the request, and has held it for SECOND_PERSON_HOURS (24). No login can be
made, changed or unlocked in order to approve: in these hours before the request and since then, neither person changed
the login of the other, and no third person made both logins or set both passwords, directly or through logins that they
took over. A password counts as known to the person who set it last, however long ago: a login that a person made, or
whose password they set, is never their second person. Superusers are exempt from this: they make the logins of a hub,
and may do everything alone.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.models import Entry
from logins.held_permissions import held_since, record_held_permissions
from logins.models import AccessRequest, AccessRequestState, HeldPermission

MAX_DECIDERS = 5
_MAX_HOLDERS = 50
# Whoever does this can log in as the person.
_TAKEOVERS = ("person.created", "person.password-changed")
_CHANGES = (*_TAKEOVERS, "person.changed", "person.unlocked")
# Beyond this number no one can approve: the entries that are not read could be those that matter.
_MAX_CHANGES = 5_000


def why_not_second(second: int, first: int, permission: str, requested_at: datetime) -> str:
    """Return a sentence that says why this person cannot approve what `first` requested, or "" if they can."""
    now = timezone.now()
    since = held_since(second, permission)
    if since is None:
        return _("You do not have the permission to approve this.")
    if _is_too_late(since, requested_at):
        return _(
            "You got this permission after the request. Somebody who had it before must approve this, or it must be "
            "requested again."
        )
    if since > now - second_person_wait():
        text = _(
            "You can approve this from %(time)s on: a second person must have had the permission for %(hours)s."
        )
        time = f"{since + second_person_wait():%Y-%m-%d %H:%M} UTC"
        return text % {"time": time, "hours": describe_wait()}
    if _are_dependent(first, second, min(requested_at, now) - second_person_wait()):
        return _(
            "Another person must approve this. Your login and that of the person who requested it were added, changed "
            "or unlocked by one another, or their passwords were set by the same person, less than %(hours)s before "
            "the request or since then."
        ) % {"hours": describe_wait()}
    if _may_know_password(first, second):
        return _(
            "Another person must approve this. One of you set the password of the other, or one person set both. A "
            "superuser can set a new password, which the others then do not know."
        )
    return ""


def _is_too_late(since: datetime, requested_at: datetime) -> bool:
    """Return True if the permission may have been given in order to approve this request."""
    return bool(second_person_wait()) and since > requested_at


def second_person_wait() -> timedelta:
    """Return how long a second person must have held the permission. Zero only on a developer's machine."""
    return timedelta(hours=settings.SECOND_PERSON_HOURS)


def describe_wait() -> str:
    """Return the same as text."""
    hours = settings.SECOND_PERSON_HOURS
    return ngettext("%(hours)s hour", "%(hours)s hours", hours) % {"hours": hours}


@dataclass(frozen=True, slots=True)
class Decider:
    """A person who can approve a request, and from when; None: from now on."""

    person: User
    begins: datetime | None


def possible_deciders(
    first: int, permission: str, requested_at: datetime, may_decide: Callable[[User], bool] = lambda _: True
) -> list[Decider]:
    """Return who can approve what `first` requested, now or later: at most `MAX_DECIDERS`, the earliest first.

    `may_decide`: further conditions of the request. Reads at most 50 people who hold the permission, the earliest.
    """
    record_held_permissions()
    held = HeldPermission.objects.filter(permission=permission).exclude(person=first)
    rows = held.select_related("person").order_by("since", "person")[:_MAX_HOLDERS]
    return list(islice(_find_deciders(rows, first, requested_at, may_decide), MAX_DECIDERS))


def _find_deciders(
    rows: Iterable[HeldPermission], first: int, requested_at: datetime, may_decide: Callable[[User], bool]
) -> Iterator[Decider]:
    now = timezone.now()
    earliest = min(requested_at, now) - second_person_wait()
    for held in rows:
        number = held.person_id
        if _is_too_late(held.since, requested_at) or not may_decide(held.person):
            continue
        if _are_dependent(first, number, earliest):
            continue
        if not _may_know_password(first, number):
            begins = held.since + second_person_wait()
            yield Decider(held.person, begins if begins > now else None)


def _may_know_password(first: int, second: int) -> bool:
    """Return True if one person may know the other's password, or a third person knows both."""
    of_first, of_second = _password_setters(first), _password_setters(second)
    may_know = ({first} & of_second) | ({second} & of_first) | (of_first & of_second)
    return User.objects.filter(pk__in=may_know, is_superuser=False).exists()


def _password_setters(person: int) -> set[int]:
    """Return who may know the password of a login: who set it last, who set the password of that person, and so on.

    A change of one's own password does not count: whoever knew the old one could make it.
    """
    found: set[int] = set()
    while True:
        stream = f"person:{person}"
        entries = Entry.objects.filter(stream=stream, action__in=_TAKEOVERS).exclude(actor=stream)
        actor = entries.order_by("-id").values_list("actor", flat=True).first() or ""
        kind, _colon, number = actor.partition(":")
        if kind != "person" or int(number) in found:
            return found
        person = int(number)
        found.add(person)


def _are_dependent(first: int, second: int, since: datetime) -> bool:
    """Return True if one person may be behind both logins."""
    rows = Entry.objects.filter(action__in=_CHANGES, at__gt=since, actor__startswith="person:")
    changes = list(rows.order_by("-at").values_list("action", "actor", "stream")[:_MAX_CHANGES])
    if len(changes) == _MAX_CHANGES:
        return True
    pair = {f"person:{first}", f"person:{second}"}
    if any({actor, stream} == pair for _action, actor, stream in changes):
        return True
    given = AccessRequest.objects.filter(state=AccessRequestState.APPROVED, decided_at__gt=since)
    if given.filter(person__in=(first, second), requested_by__in=(first, second)).exists():
        return True
    takeovers = [(actor, stream) for action, actor, stream in changes if action in _TAKEOVERS]
    return f"person:{second}" in _connected_logins(f"person:{first}", takeovers)


def _connected_logins(start: str, pairs: Iterable[tuple[str, str]]) -> set[str]:
    """Return all logins that are connected with `start` by a chain of pairs, including itself."""
    neighbours: dict[str, set[str]] = {}
    for actor, login in pairs:
        neighbours.setdefault(actor, set()).add(login)
        neighbours.setdefault(login, set()).add(actor)
    found, waiting = {start}, [start]
    while waiting:
        new = neighbours.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found
