"""Require a fresh log-in: the person has entered the password in this session less than 15 minutes ago.

Whoever finds an open browser, or has copied its cookie, can look at pages, but can neither reveal nor export values,
nor change secrets or access, nor erase. A future single sign-on counts as an entered password if it sends
`user_logged_in` only after the identity provider has asked the person (`prompt=login` or `max_age`).
"""

import time
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase
from django.dispatch import receiver
from django.http import HttpRequest

FRESH_SECONDS = 900
_LOGGED_IN_AT = "logged_in_at"


class FreshLoginNeeded(Exception):
    """Raised before an act that needs a fresh log-in. Nothing has been done, stored or shown.

    The console asks for the password, and then sends the same request again for the person.
    """


def require_fresh_login(request: HttpRequest) -> None:
    """Raise FreshLoginNeeded unless the password was entered a short time ago. Call it before anything is changed."""
    if not is_fresh(request.session):
        raise FreshLoginNeeded


def is_fresh(session: SessionBase) -> bool:
    """Return True if the password was entered in this session less than 15 minutes ago."""
    return time.time() - float(session.get(_LOGGED_IN_AT, 0)) < FRESH_SECONDS


def mark_fresh(session: SessionBase) -> None:
    """Record that the password was entered now."""
    session[_LOGGED_IN_AT] = time.time()


@receiver(user_logged_in)
def record_login_time(request: HttpRequest, **_: Any) -> None:
    """Record the time of a login in its session."""
    mark_fresh(request.session)
