"""Failed logins are summed by account, address and hour, and each sum is reported on the audit log."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.utils import timezone

from logins import attempt_counts
from logins.models import FailedLogins, KnownAddress
from sync.housekeeping.retention_rules import prune_expired
from tests.logins.login_clock import LoginClock
from tests.support.people import entries

pytestmark = pytest.mark.django_db

STRANGER = "203.0.113.9"


def rows() -> list[tuple[int, str, int, int]]:
    return list(
        FailedLogins.objects.order_by("pk").values_list("person_number", "address", "wrong", "refused")
    )


def test_attempts_of_one_hour_share_a_row_and_one_entry(clock: LoginClock) -> None:
    for _ in range(3):
        attempt_counts.count_failures(7, STRANGER, wrong=1)
    attempt_counts.count_refused_in_memory(7, STRANGER)
    attempt_counts.count_refused_in_memory(7, STRANGER)
    attempt_counts.refused_attempts.flush()
    assert rows() == [(7, STRANGER, 3, 2)]
    [entry] = entries("person.login-failed")
    assert (entry["stream"], entry["details"]) == ("person:7", {"address": STRANGER})
    clock.move(3600)
    attempt_counts.count_failures(7, STRANGER, wrong=1)
    assert rows()[1:] == [(7, STRANGER, 1, 0)]


def test_further_addresses_of_an_hour_share_a_row_for_each_account_and_one_statement_each(
    clock: LoginClock, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr(attempt_counts, "MAX_ROWS_AN_HOUR", 2)
    for number in range(3):
        attempt_counts.count_failures(7, f"203.0.113.{number}", wrong=1)
    attempt_counts.count_failures(8, STRANGER, refused=5)
    for number in range(100):
        attempt_counts.count_refused_in_memory(7, f"203.0.113.{number}")
    assert len(attempt_counts.refused_attempts) == 3
    with django_assert_max_num_queries(3 * 3):  # an update each, in a transaction
        attempt_counts.refused_attempts.flush()
    assert rows() == [
        (7, "203.0.113.0", 1, 1),
        (7, "203.0.113.1", 1, 1),
        (7, "", 1, 98),
        (8, "", 0, 5),
    ]
    clock.move(3600)
    attempt_counts.count_refused_in_memory(7, "203.0.113.50")
    attempt_counts.refused_attempts.flush()
    assert rows()[4:] == [(7, "203.0.113.50", 0, 1)]


def test_the_sum_of_an_hour_is_reported_once_when_the_hour_is_over(clock: LoginClock) -> None:
    attempt_counts.count_failures(7, STRANGER, wrong=10, refused=990)
    attempt_counts.count_failures(0, STRANGER, wrong=1)
    assert attempt_counts.report_past_hours(clock.now) == 0
    later = clock.now + timedelta(hours=1)
    assert [attempt_counts.report_past_hours(later), attempt_counts.report_past_hours(later)] == [2, 0]
    [entry] = entries("person.logins-failed")
    hour = "2026-03-04T05:00:00.000000Z"
    assert entry["stream"] == "person:7"
    assert entry["details"] == {"address": STRANGER, "hour": hour, "times": 1000, "refused": 990}


def test_counts_that_cannot_be_written_wait_for_the_next_flush(
    clock: LoginClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt_counts.count_refused_in_memory(7, STRANGER)

    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as away:
        away.setattr(attempt_counts, "count_failures", fail)
        attempt_counts.refused_attempts.flush()
    attempt_counts.refused_attempts.flush()
    assert rows() == [(7, STRANGER, 0, 1)]


def test_the_latest_addresses_of_a_person_are_remembered(
    clock: LoginClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_counts, "MAX_KNOWN_ADDRESSES", 2)
    anna = User.objects.create_user("anna")
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"):
        clock.move(1)
        attempt_counts.remember_address(anna.pk, address)
    known = KnownAddress.objects.order_by("address").values_list("address", flat=True)
    assert list(known) == ["192.0.2.1", "192.0.2.3"]


def test_old_sums_and_addresses_are_deleted(clock: LoginClock) -> None:
    anna = User.objects.create_user("anna")
    now = timezone.now()
    for days in (10, 300):
        attempt_counts.remember_address(anna.pk, f"192.0.2.{days % 256}", now - timedelta(days=days))
        attempt_counts.count_failures(anna.pk, STRANGER, wrong=1, at=now - timedelta(days=days))
    attempt_counts.report_past_hours(now)
    prune_expired()
    assert KnownAddress.objects.get().address == "192.0.2.10"
    assert FailedLogins.objects.get().first_at == now - timedelta(days=10)
