"""One delivery, hops 4 to 6: claim it, run its attempt, settle it. The one place with a broad `except`."""

import logging
import time

from django.db import OperationalError

from sync.attempting import Ends, Findings, run
from sync.claiming import Claim, claim, due, expire_subject, siblings
from sync.connectors.errors import ConnectorError
from sync.connectors.registry import connect
from sync.mapping import Unmappable
from sync.models import Connection, Delivery, Link
from sync.recording import AttemptRecorder, ClaimLost
from sync.releasing import release_connection
from sync.settling import is_older_than_applied, settle
from sync.verdict import ACTIONS, Verdict, failure, success, superseded

logger = logging.getLogger("hub.deliver")

SETTLE_PAUSES = (0.1, 0.5, 2.0)


def deliver(delivery_id: int) -> tuple[tuple[int, ...], int | None]:
    """Run a delivery if it can be claimed.

    Returns the events that were settled, and the next due delivery of the same subject, which the caller wakes.
    """
    taken = claim(delivery_id) or _after_freeing(delivery_id)
    if taken is None:
        return (), None
    settled = _attempt(taken)
    follower = due().filter(pk__in=siblings(taken.delivery).values("pk")).values_list("pk", flat=True).first()
    if follower is None:  # a replay asked for meanwhile
        follower = due().filter(pk=delivery_id).values_list("pk", flat=True).first()
    release_connection()
    return settled, follower


def _after_freeing(delivery_id: int) -> Claim | None:
    """A process that died may hold the subject: free it when its lease has ended, and try once more."""
    delivery = Delivery.objects.filter(pk=delivery_id).first()
    if delivery is None or not expire_subject(delivery):
        return None
    return claim(delivery_id)


def _attempt(taken: Claim) -> tuple[int, ...]:
    delivery, findings = taken.delivery, Findings()
    recorders = [AttemptRecorder(taken, each) for each in (delivery.identity, delivery.commercial)]
    try:
        verdict = _run(taken, findings, recorders)
    except ClaimLost:
        logger.warning("%s lost its claim before sending; nothing was sent", delivery)
        return ()
    settled = _settle(taken, verdict, findings, recorders)
    _log(taken, verdict, findings, is_ours=bool(settled))
    return settled


def _settle(
    taken: Claim, verdict: Verdict, findings: Findings, recorders: list[AttemptRecorder]
) -> tuple[int, ...]:
    """Settle, and try again where the database is away for a moment: the work is done, only its record is missing."""
    for pause in SETTLE_PAUSES:
        try:
            return settle(taken, verdict, findings, recorders)
        except OperationalError as error:
            logger.warning("%s could not be settled (%s); trying again", taken.delivery, type(error).__name__)
            release_connection()
            time.sleep(pause)
    return settle(taken, verdict, findings, recorders)


def _run(taken: Claim, findings: Findings, recorders: list[AttemptRecorder]) -> Verdict:
    link = _link(taken.delivery)
    if is_older_than_applied(taken, link):
        return superseded()
    try:
        run(taken, _ends(taken, recorders), link.record_id or None if link else None, findings)
    except ClaimLost:
        raise
    except Exception as error:  # noqa: BLE001 - the delivery boundary: recorded, logged, never raised
        return _failure(error, taken)
    return success(findings)


def _failure(error: Exception, taken: Claim) -> Verdict:
    verdict = failure(error, taken)
    if verdict.code == "internal-failure":
        logger.error("%s: unexpected %s", taken.delivery, type(error).__name__, exc_info=error)
    else:
        logger.info("%s %s: %s", taken.delivery.event.reference, verdict.code, _reason(error))
    return verdict


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ConnectorError | Unmappable) else type(error).__name__


def _link(delivery: Delivery) -> Link | None:
    return Link.objects.filter(
        entity_id=delivery.entity_id,
        entity_type=delivery.entity_type,
        identity_id=delivery.identity_id,
        commercial_id=delivery.commercial_id,
    ).first()


def _ends(taken: Claim, recorders: list[AttemptRecorder]) -> Ends:
    """The two connectors, each with its own recorder; the attempt's key goes out with every request."""
    identity, commercial = (taken.delivery.identity, taken.delivery.commercial)
    return Ends(
        connect_to(identity, str(taken.attempt.key), recorders[0]),  # type: ignore[arg-type]
        connect_to(commercial, str(taken.attempt.key), recorders[1]),  # type: ignore[arg-type]
    )


def connect_to(connection: Connection, request_id: str, recorder: AttemptRecorder) -> object:
    """The connector of a configured connection."""
    return connect(
        "identity" if connection.side == "identity" else "target",
        connection.connector,
        base_url=connection.base_url,
        authentication=connection.authentication,
        credentials=connection.credentials or {},
        settings=connection.settings,
        deadline=connection.deadline_seconds,
        byte_cap=connection.byte_cap,
        request_id=request_id,
        recorder=recorder,
    )


def _log(taken: Claim, verdict: Verdict, findings: Findings, *, is_ours: bool) -> None:
    if not is_ours:
        logger.warning("%s was taken over while its attempt ran", taken.delivery)
        return
    fields = ", ".join(each.name for each in findings.change.fields) if findings.change else ""
    action = ACTIONS[findings.change.action] if findings.change else "no plan"
    logger.info(
        "%s %s at %s: %s%s%s",
        taken.delivery.event.reference,
        verdict.state,
        taken.delivery.commercial.slug,
        action,
        f" {findings.record_id}" if findings.record_id else "",
        f" ({fields})" if fields else "",
    )
