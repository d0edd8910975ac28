"""Retention rules, and the nightly work that deletes older rows in small transactions.

The deletion of evidence is itself on the audit log: its start, in the commit of the first batch, and its amount, at the
end. The deletion of audit entries is announced there before it begins.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import F, Max, QuerySet

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from audit.format.signed_records import format_time
from audit.retention.database_grants import may_delete_entries
from audit.retention.prune_entries import announce_pruning, prune_announced_entries
from database.clock import read_clock
from logins.models import FailedLogins, KnownAddress
from sync.housekeeping import batch_deletion as housekeeping_prune
from sync.housekeeping.audit_upkeep import seal_audit
from sync.housekeeping.batch_deletion import PrunedBatch
from sync.housekeeping.log_in_pruning import find_expired_log_in_attempts, find_expired_refreshed_tokens
from sync.housekeeping.unusable_bodies import expired_unusable_bodies
from sync.models import Alarm, PersonRequestMember, PruningRun, RetentionCategory, SearchDigest
from webhooks.models import Refusal
from webhooks.models.rate_limit import RateLimitState

logger = logging.getLogger("hub.audit")

# Between two batches, so that other writers go first.
PAUSE_SECONDS = 0.02
# After a day without requests a rate limit has nothing left to remember.
IDLE_RATE_LIMIT_RETENTION = timedelta(days=1)
# An address is known for so long after the last login from it.
KNOWN_ADDRESS_RETENTION = timedelta(days=180)
# An entity is found by a value that it has lost for so long.
FORMER_DIGEST_RETENTION = timedelta(days=180)


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """A category of rows that is deleted after the number of days in a setting; 0 keeps it for ever."""

    kind: RetentionCategory
    setting: str
    prune_steps: tuple[Callable[[datetime, int], PrunedBatch], ...]


def _prune_rows(
    find: Callable[[datetime], QuerySet[Any]], order: str = "pk"
) -> Callable[[datetime, int], PrunedBatch]:
    """Return a prune step for rows that no other rows depend on. Each batch checks their condition again. `order`: the
    column whose index finds the rows.
    """

    def prune(up_to: datetime, after: int) -> PrunedBatch:
        rows = find(up_to)
        keys = list(rows.order_by(order).values_list("pk", flat=True)[: housekeeping_prune.BATCH_SIZE])
        deleted = len(keys) if keys else 0
        if keys:
            rows.filter(pk__in=keys).delete()
        return PrunedBatch(after, deleted, len(keys) < housekeeping_prune.BATCH_SIZE)

    return prune


def _excess_refusals(_: datetime) -> QuerySet[Any]:
    newest = Refusal.objects.aggregate(pk=Max("pk"))["pk"] or 0
    # Keys only grow, so the newest rows are found without counting.
    return Refusal.objects.filter(pk__lte=newest - settings.MAX_REFUSALS)


RETENTION_RULES = (
    RetentionRule(RetentionCategory.PAYLOADS, "KEEP_PAYLOADS_DAYS", (housekeeping_prune.prune_payloads,)),
    RetentionRule(RetentionCategory.CALLS, "KEEP_CALLS_DAYS", (housekeeping_prune.prune_calls,)),
    RetentionRule(
        RetentionCategory.EVENTS,
        "KEEP_EVENTS_DAYS",
        (
            housekeeping_prune.prune_events,
            housekeeping_prune.prune_unusable_requests,
            housekeeping_prune.prune_comparisons,
            # With its event goes a member that has one.
            _prune_rows(
                lambda up_to: PersonRequestMember.objects.filter(
                    event=None, person_request__ended_at__lt=up_to
                )
            ),
        ),
    ),
    RetentionRule(
        RetentionCategory.REFUSALS,
        "KEEP_REFUSALS_DAYS",
        (
            _prune_rows(lambda up_to: Refusal.objects.filter(last_at__lt=up_to)),
            _prune_rows(_excess_refusals),
            _prune_rows(lambda up_to: FailedLogins.objects.filter(is_reported=True, last_at__lt=up_to)),
        ),
    ),
    RetentionRule(
        RetentionCategory.ALARMS,
        "KEEP_ALARMS_DAYS",
        (_prune_rows(lambda up_to: Alarm.objects.filter(ended_at__lt=up_to)),),
    ),
)


def prune_expired() -> int:
    """Delete rows past their retention, and other rows that are no longer needed. Returns how many rows.

    The other rows are old sessions, idle rate limits, useless refusals, and old bodies that could not be read. First,
    the end of interrupted runs is recorded on the audit log.
    """
    now = read_clock()
    _end_interrupted_runs()
    obsolete = (
        _prune_rows(lambda _: Session.objects.filter(expire_date__lt=now)),
        _prune_rows(lambda _: RateLimitState.objects.filter(free_at__lt=now - IDLE_RATE_LIMIT_RETENTION)),
        _prune_rows(lambda _: find_expired_log_in_attempts(now)),
        _prune_rows(lambda _: find_expired_refreshed_tokens(now)),
        _prune_rows(lambda _: expired_unusable_bodies(now)),
        _prune_rows(
            lambda _: SearchDigest.objects.filter(superseded_at__lt=now - FORMER_DIGEST_RETENTION),
            "superseded_at",
        ),
        _prune_rows(lambda _: KnownAddress.objects.filter(last_at__lt=now - KNOWN_ADDRESS_RETENTION)),
    )
    deleted = sum(number for prune_step in obsolete for number in _run_batches(prune_step, now))
    return deleted + sum(_prune_kind(rule, now) for rule in RETENTION_RULES) + prune_audit_entries()


def prune_audit_entries() -> int:
    """Delete audit entries past KEEP_AUDIT_DAYS, once the log announces it and is sealed. Returns how many."""
    if settings.KEEP_AUDIT_DAYS <= 0:
        return 0
    if not may_delete_entries():
        logger.warning(
            "old audit entries were not deleted: this database role has no right to; run `manage.py "
            "prune_audit` as the owner of the tables"
        )
        return 0
    now = read_clock()
    if announce_pruning(settings.KEEP_AUDIT_DAYS, now):
        # Nothing is deleted before the announcement is sealed.
        seal_audit()

    def prune_step(_: datetime, after: int) -> PrunedBatch:
        return PrunedBatch(after, *prune_announced_entries())

    return sum(_run_batches(prune_step, now))


def _prune_kind(rule: RetentionRule, now: datetime) -> int:
    days = getattr(settings, rule.setting)
    if days <= 0:
        return 0
    run = PruningRun(kind=rule.kind, up_to=now - timedelta(days=days), began_at=now)
    deleted = sum(
        number for prune_step in rule.prune_steps for number in _run_batches(prune_step, run.up_to, run)
    )
    if deleted:
        _end_run(run)
    return deleted


def _run_batches(
    prune_step: Callable[[datetime, int], PrunedBatch], up_to: datetime, run: PruningRun | None = None
) -> Iterator[int]:
    """Yield the number of rows that each batch deleted. Each is a transaction of its own, and is counted in `run`."""
    after = 0
    while True:
        with transaction.atomic():
            batch = prune_step(up_to, after)
            if run is not None and batch.deleted:
                _count_deleted(run, batch.deleted)
        yield batch.deleted
        if batch.is_last:
            return
        after = batch.last_key
        time.sleep(PAUSE_SECONDS)


def _count_deleted(run: PruningRun, deleted: int) -> None:
    # Stored with the first deleted batch: a run that finds nothing leaves no audit entry.
    if run._state.adding:
        run.save(force_insert=True)
        append_entries(NewEntry("system", "retention.begun", details=_run_details(run)))
    PruningRun.objects.filter(pk=run.pk).update(rows=F("rows") + deleted)


def _run_details(run: PruningRun) -> dict[str, JSONValue]:
    return {"kind": str(run.kind), "up_to": format_time(run.up_to)}


def _end_interrupted_runs() -> None:
    for run in PruningRun.objects.filter(ended_at=None):
        _end_run(run)


def _end_run(run: PruningRun) -> None:
    """Record the end of a run on the audit log, once."""
    with transaction.atomic():
        # Compare-and-set: another process may end the same run.
        if not PruningRun.objects.filter(pk=run.pk, ended_at=None).update(ended_at=read_clock()):
            return
        run.refresh_from_db()
        append_entries(
            NewEntry("system", "retention.pruned", details={**_run_details(run), "rows": run.rows})
        )
