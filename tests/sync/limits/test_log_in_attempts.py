"""Refused credentials are known to all processes, and only one of them logs in at a time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from connectors.auth.log_in_guard import LogInPermission, current_guard
from connectors.contracts.errors import CredentialsRefused
from sync.limits.log_in_attempts import StoredGuard
from sync.models import LogInAttempt
from tests.support.http.authentication_servers import PASSWORD, USERNAME, SessionServer
from tests.support.http.connectors import identity
from tests.support.http.servers import serving

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.concurrent]

GRANTED, BUSY, REFUSED = LogInPermission.GRANTED, LogInPermission.BUSY, LogInPermission.REFUSED


def claim(key: str = "k", *, is_forced: bool = False) -> LogInPermission:
    # A guard of its own, as in another process.
    return StoredGuard().claim_log_in(key, 30.0, is_forced=is_forced)


def finish(key: str = "k", *, is_refused: bool | None) -> None:
    StoredGuard().finish_log_in(key, is_refused=is_refused)


def test_the_hub_uses_this_guard() -> None:
    assert isinstance(current_guard(), StoredGuard)


def test_one_process_at_a_time_logs_in() -> None:
    assert (claim(), claim(), claim(is_forced=True), claim("other")) == (GRANTED, BUSY, BUSY, GRANTED)
    finish(is_refused=False)
    assert claim() is GRANTED
    # Its process died: another one may log in when its time is over.
    LogInAttempt.objects.update(busy_until=timezone.now() - timedelta(seconds=1))
    assert claim() is GRANTED


def test_a_machine_whose_clock_is_wrong_does_not_log_in_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert claim() is GRANTED
    real = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: real() + timedelta(hours=1))
    assert claim() is BUSY


def test_refused_credentials_are_tried_again_for_a_person_alone() -> None:
    assert claim() is GRANTED
    finish(is_refused=True)
    assert (claim(), claim(), claim("changed")) == (REFUSED, REFUSED, GRANTED)
    assert claim(is_forced=True) is GRANTED
    finish(is_refused=None)
    assert claim() is REFUSED, "an unavailable system decided nothing"
    assert claim(is_forced=True) is GRANTED
    finish(is_refused=False)
    assert claim() is GRANTED


def test_the_row_holds_no_digest_that_can_be_made_without_the_secret_key(settings: Any) -> None:
    claim("k")
    first = LogInAttempt.objects.get().key
    settings.SECRET_KEY = "x" * 50
    assert claim("k") is GRANTED
    assert LogInAttempt.objects.exclude(pk=first).count() == 1


def test_processes_that_need_a_session_at_once_try_a_wrong_password_once() -> None:
    """Each thread has no session and a cache of its own, as processes have."""
    server = SessionServer(most_wrong=2)

    def fetch(number: int) -> bool:
        template = f"Bearer {{token}} {number}"
        connector = identity(
            service.url,
            authentication={
                "scheme": "session",
                "log_in": {
                    "path": "/login",
                    "body": {"user": {"expression": "username"}, "password": {"expression": "password"}},
                },
                "token": {"path": "token"},
                "template": template,
            },
            credentials={"username": USERNAME, "password": f"not {PASSWORD}"},
            deadline=60.0,
        )
        try:
            with pytest.raises(CredentialsRefused):
                connector.fetch_entity("USER", "a1")
        finally:
            connections.close_all()
        return True

    with serving(server) as service, ThreadPoolExecutor(4) as pool:
        assert all(pool.map(fetch, range(8)))
    assert (server.log_ins, server.is_locked) == (1, False)
