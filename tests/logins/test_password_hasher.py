"""Passwords are hashed one at a time, at a low priority, with hashes that Django itself can check."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings as hub_settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import transaction

from integration_hub import settings as deployed
from logins.password_hasher import LowPriorityHasher

pytestmark = pytest.mark.concurrent


def test_every_password_is_hashed_by_it() -> None:
    assert deployed.PASSWORD_HASHERS == ["logins.password_hasher.LowPriorityHasher"]
    assert hub_settings.PASSWORD_HASHERS != deployed.PASSWORD_HASHERS, "tests hash fast"


@pytest.mark.pure
def test_its_hashes_are_those_of_django(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 1)
    assert LowPriorityHasher().encode("word", "salt") == PBKDF2PasswordHasher().encode("word", "salt")


def note_threads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Return a list that gets the thread, its priority and the hashes under way of each hash."""
    noted: list[tuple[str, int, int]] = []
    running = threading.Semaphore(0)

    def encode(self: Any, password: str, salt: str, iterations: int | None = None) -> str:
        running.release()
        tid = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, tid) if sys.platform == "linux" else 0
        noted.append((threading.current_thread().name, niceness, running._value))
        running.acquire()
        return password

    monkeypatch.setattr(PBKDF2PasswordHasher, "encode", encode)
    return noted


@pytest.mark.pure
def test_threads_take_turns_at_a_thread_of_low_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    noted = note_threads(monkeypatch)
    with ThreadPoolExecutor(8) as callers:
        list(callers.map(lambda word: LowPriorityHasher().encode(str(word), "salt"), range(40)))
    assert len(noted) == 40
    assert {(name, most) for name, _, most in noted} == {("password-hashes_0", 1)}
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert {niceness for _, niceness, _ in noted} == {max(10, own)} or sys.platform != "linux"


@pytest.mark.django_db
def test_a_transaction_waits_for_no_other_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    noted = note_threads(monkeypatch)
    with transaction.atomic():
        LowPriorityHasher().encode("word", "salt")
    assert noted[0][0] == threading.current_thread().name
