"""One delivery, hops 4 to 6: claim it, run its attempt, settle it. The one place with a broad `except`."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from django.db import OperationalError

from database.connection import release_connection
from database.statement import Statement
from sync.attempts.apply import run
from sync.attempts.attempt_result import ACTIONS, Verdict, failure, success, superseded
from sync.attempts.call_log import AttemptRecorder, ClaimLost
from sync.attempts.event_outcome import outcome_of_attempt
from sync.attempts.plan import Ends, Findings
from sync.attempts.settle import Settled, settle
from sync.connectors.client.exchange import Recorder
from sync.connectors.contracts.errors import ConnectorError, CredentialsRefused, Side, SystemUnavailable
from sync.connectors.registry import make_connector
from sync.connectors.settings.settings_reader import SettingsInvalid
from sync.deliveries.claims import Claim, Paused, claim
from sync.deliveries.expired_leases import expire_subject
from sync.deliveries.ordering import next_of_subject
from sync.deliveries.postpone import postpone
from sync.deliveries.predicates import is_due, is_not_suspect
from sync.deliveries.record_links import linked
from sync.deliveries.superseded import was_overtaken
from sync.models import Connection, Delivery, Takes
from sync.planning.mapping import EntityNotMappable
from webhooks.catalogue.outcome import EventOutcome

logger = logging.getLogger("hub.deliver")

SETTLE_PAUSES = (0.1, 0.5, 2.0)

_NEXT_OF_IDENTITY, _NEXT_OF_COMMERCIAL = (
    Statement(
        f"""SELECT id FROM sync_delivery WHERE {connection} = %s AND {is_due()} AND {is_not_suspect()}
        ORDER BY due_at, id LIMIT 1"""  # noqa: S608
    )
    for connection in ("identity_id", "commercial_id")
)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a delivery came to. `outcomes`: the events that were settled, each with its outcome where it is known
    without asking the database. `follower` may run now.
    """

    outcomes: Mapping[int, EventOutcome | None] = field(default_factory=dict)
    follower: int | None = None
    is_done: bool = False


def deliver(delivery_id: int, *, alone: bool = False) -> Ran:
    """Run a delivery if it can be claimed. `alone`: this process runs nothing else."""
    try:
        taken = claim(delivery_id, alone=alone) or _after_freeing(delivery_id, alone)
    except Paused as paused:
        return Ran(dict.fromkeys(postpone(delivery_id, paused.connection)))
    return Ran() if taken is None else carry_out(taken)


def _after_freeing(delivery_id: int, alone: bool) -> Claim | None:
    """A process that died may hold the subject: free it when its lease has ended, and try once more."""
    delivery = Delivery.objects.filter(pk=delivery_id).first()
    if delivery is None or not expire_subject(delivery):
        return None
    return claim(delivery_id, alone=alone)


def carry_out(taken: Claim) -> Ran:
    """Run the attempt of a claimed delivery and settle it."""
    findings = Findings()
    recorders = [
        AttemptRecorder(taken, each) for each in (taken.delivery.identity, taken.delivery.commercial)
    ]
    try:
        verdict = _run(taken, findings, recorders)
    except ClaimLost:
        logger.warning("%s lost its claim before sending; nothing was sent", taken.delivery)
        return Ran()
    settled = _settle(taken, verdict, findings, recorders)
    if settled is None:
        logger.warning("%s was taken over while its attempt ran", taken.delivery)
        return Ran()
    follower = taken.delivery.pk if settled.goes_on else _follower(taken.delivery)
    release_connection()
    _log(taken, settled.verdict, findings)
    outcomes: dict[int, EventOutcome | None] = dict.fromkeys(settled.events)
    if taken.is_only and not settled.goes_on:
        outcomes[taken.delivery.event_id] = outcome_of_attempt(taken, settled.verdict, findings)
    return Ran(outcomes, follower, is_done=True)


def _follower(delivery: Delivery) -> int | None:
    """The next of its subject; else, where it leaves a slot, the next that waits for one."""
    follower = next_of_subject(delivery)
    if follower is None and delivery.commercial_slot is not None:
        follower = _first(_NEXT_OF_COMMERCIAL, delivery.commercial_id)
    if follower is None and delivery.identity_slot is not None:
        follower = _first(_NEXT_OF_IDENTITY, delivery.identity_id)
    return follower


def _first(statement: Statement, connection_id: int) -> int | None:
    found = statement.fetch_one(connection_id)
    return int(found[0]) if found else None


def _settle(
    taken: Claim, verdict: Verdict, findings: Findings, recorders: list[AttemptRecorder]
) -> Settled | None:
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
    try:
        taken = _with_link_of_now(taken)
        if is_older_than_applied(taken):
            return superseded()
        run(taken, _ends(taken, recorders), findings)
    except ClaimLost:
        raise
    except Exception as error:  # noqa: BLE001 - the delivery boundary: recorded, logged, never raised
        return _failure(error, taken)
    return success(findings)


def _with_link_of_now(taken: Claim) -> Claim:
    """What is relayed may go over nothing newer, and a claim that was stored together with its delivery knows only what
    was read before that: another process may have applied something since. What is fetched is the newest anyway.
    """
    return replace(taken, link=linked(taken.delivery)) if taken.delivery.is_relayed else taken


def is_older_than_applied(taken: Claim) -> bool:
    """Whether what the webhook carried is older than what was applied; what is fetched never is."""
    if taken.delivery.takes == Takes.ANYWAY:
        return False
    if not taken.delivery.is_relayed:
        return taken.delivery.takes == Takes.RECEIVED and was_overtaken(taken.delivery)
    link, occurred_at = taken.link, taken.delivery.event.occurred_at
    if link is None or link.occurred_at is None or occurred_at is None:
        return False
    return occurred_at < link.occurred_at


def _failure(error: Exception, taken: Claim) -> Verdict:
    verdict = failure(error, taken)
    if verdict.code == "internal-failure":
        logger.error("%s: unexpected %s", taken.delivery, type(error).__name__, exc_info=error)
    else:
        logger.info("%s %s: %s", taken.delivery.event.reference, verdict.code, _reason(error))
    return verdict


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ConnectorError | EntityNotMappable) else type(error).__name__


def _ends(taken: Claim, recorders: list[AttemptRecorder]) -> Ends:
    """The two connectors, each with its own recorder; the attempt's key goes out with every request."""
    identity, commercial = (taken.delivery.identity, taken.delivery.commercial)
    return Ends(
        connect_to(identity, str(taken.attempt.key), recorders[0]),  # type: ignore[arg-type]
        connect_to(commercial, str(taken.attempt.key), recorders[1]),  # type: ignore[arg-type]
    )


def connect_to(connection: Connection, request_id: str, recorder: Recorder) -> object:
    """The connector of a configured connection. Raises ConnectorError where it cannot be used as it is stored."""
    side: Side = "identity" if connection.side == "identity" else "target"
    try:
        return make_connector(
            side,
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
    except SettingsInvalid as invalid:
        kind = CredentialsRefused if invalid.pointer.startswith("/credentials") else SystemUnavailable
        raise kind(str(invalid), side=side) from None


def _log(taken: Claim, verdict: Verdict, findings: Findings) -> None:
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
