"""Count failed logins by account, address and hour, and report them on the audit log.

The first of an hour is reported at once, the sum when the hour is over. Attempts that a limit refused are counted in
memory and written once a second.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import add

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from audit.format.signed_records import format_time
from database.deferred_counts import DeferredCounts
from logins.models import FailedLogins, KnownAddress

# Attempts from further addresses are counted together: one row for each account.
MAX_ROWS_AN_HOUR = 200
MAX_KNOWN_ADDRESSES = 50
_REPORTED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _FullHour:
    """An hour that has reached its limit of rows, with the accounts and addresses of these rows."""

    hour: datetime
    rows: frozenset[tuple[int, str]]


# Without this memory, each refused guess from a further address would cost four statements.
_full_hour: _FullHour | None = None


def count_failures(
    person_number: int, address: str, *, wrong: int = 0, refused: int = 0, at: datetime | None = None
) -> None:
    """Add failures to the sum of this hour, in a transaction. The first of a sum appends an audit entry."""
    moment = at or timezone.now()
    hour = _start_of_hour(moment)
    more = {"wrong": F("wrong") + wrong, "refused": F("refused") + refused, "last_at": moment}
    this_hour = FailedLogins.objects.filter(hour=hour)
    with transaction.atomic():
        if this_hour.filter(person_number=person_number, address=address).update(**more):
            return
        is_full = this_hour.count() >= MAX_ROWS_AN_HOUR
        if is_full:
            _remember_full_hour(hour)
        place = "" if is_full else address
        row, is_new = FailedLogins.objects.get_or_create(
            hour=hour,
            person_number=person_number,
            address=place,
            defaults={"first_at": moment, "last_at": moment},
        )
        FailedLogins.objects.filter(pk=row.pk).update(**more)
        if is_new:
            append_entries(
                NewEntry(
                    _stream_name(person_number), "person.login-failed", "anonymous", {"address": address}
                ),
                at=moment,
            )


def _write_refused(account_and_address: tuple[int, str], times: int) -> None:
    count_failures(*account_and_address, refused=times)


refused_attempts = DeferredCounts(_write_refused, add, "refused logins")
"""Attempts that a limit refused, by account and address, until they are written."""


def count_refused_in_memory(person_number: int, address: str) -> None:
    """Count one attempt that was refused. It is written within a second."""
    key = person_number, address
    is_full = len(refused_attempts) >= MAX_ROWS_AN_HOUR and key not in refused_attempts
    if (
        _full_hour is not None
        and _full_hour.hour == _start_of_hour(timezone.now())
        and key not in _full_hour.rows
    ):
        is_full = True
    refused_attempts.add((person_number, "") if is_full else key, 1)


def reset_counts() -> None:
    """Drop what is counted and remembered in memory. For tests, each of which has a database of its own."""
    global _full_hour  # noqa: PLW0603 - as in `_remember_full_hour`
    refused_attempts.reset()
    _full_hour = None


def _remember_full_hour(hour: datetime) -> None:
    """Remember that this hour is full, and which addresses have a row."""
    global _full_hour  # noqa: PLW0603 - one memory a process
    if _full_hour is None or _full_hour.hour != hour:
        rows = FailedLogins.objects.filter(hour=hour).values_list("person_number", "address")
        _full_hour = _FullHour(hour, frozenset(rows))


def report_past_hours(now: datetime | None = None) -> int:
    """Append the sums of hours that are over to the audit log, each once. Returns how many rows were reported.

    A sum of one needs no further entry. Attempts counted in memory are written seconds after their hour at the latest.
    """
    at = now or timezone.now()
    ended = FailedLogins.objects.filter(is_reported=False, hour__lt=_start_of_hour(at - timedelta(minutes=1)))
    rows = list(ended.order_by("hour", "pk")[:_REPORTED_AT_ONCE])
    for row in rows:
        with transaction.atomic():
            # Compare-and-set: another process may report the same row.
            reported = FailedLogins.objects.filter(pk=row.pk, is_reported=False).update(is_reported=True)
            if reported and row.times > 1:
                append_entries(_sum_entry(row), at=at)
    return len(rows)


def remember_address(person_number: int, address: str, at: datetime | None = None) -> None:
    """Remember that the person logged in from here, or may. Each person has at most 50 addresses, the latest."""
    if not address:
        return
    moment = at or timezone.now()
    KnownAddress.objects.update_or_create(
        person_id=person_number, address=address, defaults={"last_at": moment}
    )
    addresses = KnownAddress.objects.filter(person=person_number).order_by("-last_at", "-pk")
    if surplus := list(
        addresses.values_list("pk", flat=True)[MAX_KNOWN_ADDRESSES : MAX_KNOWN_ADDRESSES + 100]
    ):
        KnownAddress.objects.filter(pk__in=surplus).delete()


def _sum_entry(row: FailedLogins) -> NewEntry:
    details: dict[str, JSONValue] = {
        "address": row.address,
        "hour": format_time(row.hour),
        "times": row.times,
        "refused": row.refused,
    }
    return NewEntry(_stream_name(row.person_number), "person.logins-failed", "anonymous", details)


def _stream_name(person_number: int) -> str:
    return f"person:{person_number}" if person_number else "system"


def _start_of_hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
