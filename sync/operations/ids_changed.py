"""Pause a target whose ids seem to have changed: many linked records do not bear the external id that the hub wrote.

After a restore, an import or a merge, links lead to the records of other people. Each delivery finds that by itself
and links the record that bears its id, or waits for a person. If that happens to many, a person should look first. A
link is marked when its proof fails (`note_failed_proof`); here the marks of the last minutes are counted, off the path
of a webhook.
"""

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from database.statement import Statement
from database.values import parse_timestamp
from sync.deliveries import routes
from sync.models import Connection, Link
from sync.models.connection import IDS_CHANGED
from sync.operations.pauses import ACTIONS, hold_waiting, pause_flow

logger = logging.getLogger("hub.deliver")

MIN_LINKS = 5
MIN_PERCENT = 20
WINDOW = timedelta(minutes=10)
# The newest marks, and the newest attempts of all targets, that one check reads.
MAX_LINKS, MAX_ATTEMPTS = 10_000, 2_000

_TARGETS = Statement(
    """SELECT l.target_id FROM (SELECT target_id FROM sync_link
    WHERE proof_failed_at IS NOT NULL AND proof_failed_at >= %s ORDER BY proof_failed_at DESC LIMIT %s) l
    JOIN sync_connection c ON c.id = l.target_id WHERE c.paused_at IS NULL
    GROUP BY l.target_id HAVING COUNT(*) >= %s ORDER BY l.target_id"""
)
_DELIVERIES = Statement(
    """SELECT COUNT(DISTINCT d.id), MIN(a.started_at)
    FROM (SELECT delivery_id, started_at FROM sync_attempt ORDER BY id DESC LIMIT %s) a
    JOIN sync_delivery d ON d.id = a.delivery_id WHERE d.target_id = %s AND a.started_at >= %s"""
)


def pause_changed_targets() -> list[int]:
    """Pause each target of which at least MIN_LINKS links, in MIN_PERCENT of the deliveries of the last ten minutes,
    have failed the proof. Returns their keys.

    One statement on an index of failed proofs, unless MIN_LINKS have failed. Of a hub with more than MAX_ATTEMPTS
    attempts in ten minutes, the newest of them count. A person resumes the target.
    """
    since = timezone.now() - WINDOW
    targets = [key for (key,) in _TARGETS.fetch_all(since, MAX_LINKS, MIN_LINKS)]
    paused = [key for key in targets if _pause_if_many_failed(key, since)]
    if paused:
        # Other processes notice within a second; this one must not deliver from its cache until then.
        routes.resolved_routes.invalidate()
        hold_waiting()
    return paused


def _pause_if_many_failed(target: int, since: datetime) -> bool:
    deliveries, first_at = _DELIVERIES.fetch_all(MAX_ATTEMPTS, target, since)[0]
    if not deliveries:
        return False
    failed = Link.objects.filter(target=target, proof_failed_at__gte=parse_timestamp(first_at))
    links = failed[:MAX_LINKS].count()
    if links < MIN_LINKS or links * 100 < deliveries * MIN_PERCENT:
        return False
    return _pause(Connection.objects.get(pk=target), links, deliveries)


def _pause(target: Connection, links: int, deliveries: int) -> bool:
    """Pause a target on behalf of the hub, with an entry. Returns False if it was paused already.

    The marks are removed: after a person has resumed it, the count begins anew.
    """
    with transaction.atomic():
        if not pause_flow(target, IDS_CHANGED, None):
            return False
        Link.objects.filter(target=target, proof_failed_at__isnull=False).update(proof_failed_at=None)
        details = {"reason": IDS_CHANGED, "links": links, "deliveries": deliveries}
        append_entries(NewEntry(f"setting:connection:{target.pk}", ACTIONS[Connection][0], details=details))
    logger.warning(
        "%s was paused: %d links of %d deliveries failed their proof", target.slug, links, deliveries
    )
    return True
