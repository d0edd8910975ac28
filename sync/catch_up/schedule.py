"""Begin the catch-ups that are due, and forget those that are switched off."""

import logging

from django.db import IntegrityError, transaction

from config_schema.errors import SettingsInvalid
from connectors.registry import list_caught_up_types
from database.clock import read_clock
from sync.catch_up.catch_up_job import KIND
from sync.catch_up.catch_up_run import caught_up_routes
from sync.jobs.submission import cancel_job, submit_job
from sync.models import OPEN_JOB_STATES, CatchUp, Connection, Job

logger = logging.getLogger("hub.catch_up")


def begin_due_catch_ups() -> None:
    """Let the rows of catch-ups follow the settings, and submit a job for each that is due. Runs each half minute."""
    for connection in Connection.objects.filter(catch_up_minutes__isnull=False).order_by("pk"):
        try:
            _follow_settings(connection)
        except (SettingsInvalid, KeyError):
            # Settings that cannot be read say nothing: the runs fail until they are corrected.
            logger.warning("the settings of connection %s cannot be read", connection.slug)
    for row in CatchUp.objects.filter(identity__catch_up_minutes=None).order_by("pk"):
        _forget(row)
    now = read_clock()
    for row in CatchUp.objects.select_related("identity").order_by("pk"):
        if row.is_due(now):
            _submit(row)


def _follow_settings(connection: Connection) -> None:
    """Create the rows of the types that are caught up with, and delete the others. Raises SettingsInvalid, KeyError."""
    known = list_caught_up_types(connection.connector, connection.settings)
    types = {
        resolved.route.entity_type
        for resolved in caught_up_routes(connection.pk)
        if resolved.identity_type.upper() in known
    }
    rows = CatchUp.objects.filter(identity=connection)
    for row in rows.exclude(entity_type__in=types).order_by("pk"):
        _forget(row)
    new = sorted(types - set(rows.values_list("entity_type", flat=True)))
    created_at = read_clock()
    CatchUp.objects.bulk_create(
        [CatchUp(identity=connection, entity_type=one, created_at=created_at) for one in new],
        # Another worker may have been first.
        ignore_conflicts=True,
    )


def _forget(row: CatchUp) -> None:
    key = row.pk
    with transaction.atomic():
        # The row before the job, as everywhere.
        row.delete()
        cancel_job(KIND, key)
    logger.info("the catch-up of %s is switched off", row)


def _submit(row: CatchUp) -> None:
    """Submit the job of a catch-up, unless one waits or runs."""
    if Job.objects.filter(kind=KIND, subject=row.pk, state__in=OPEN_JOB_STATES).exists():
        return
    try:
        with transaction.atomic():
            submit_job(KIND, row.pk)
    except IntegrityError:
        # Another worker was first.
        logger.debug("the catch-up of %s is submitted already", row)
