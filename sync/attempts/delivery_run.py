"""Run one delivery: claim it, run its attempt, settle it. The only place with a broad `except`."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from django.db import DatabaseError, OperationalError
from django.utils import timezone

from config_schema.codes.codes import CATALOGUE
from config_schema.codes.outcome import EventOutcome
from config_schema.codes.trace_context import TRACE_ID, Trace
from config_schema.errors import SettingsInvalid
from connectors.contracts.errors import (
    HUB_EXHAUSTED_CODE,
    ConnectorError,
    CredentialsRefused,
    HubExhausted,
    Side,
    SystemUnavailable,
)
from connectors.exchange import Recorder
from connectors.http.resource_shortage import SHORTAGE_REASON, is_resource_shortage
from connectors.registry import make_connector
from connectors.values.secret_scrubber import SecretScrubber
from database.connection import release_connection
from database.encryption.at_rest import CannotDecrypt
from database.statement import Statement
from sync.attempts.apply import plan_and_apply
from sync.attempts.attempt_result import (
    ACTION_CODES,
    AttemptResult,
    failure_result,
    success_result,
    superseded_result,
)
from sync.attempts.call_log import AttemptRecorder, ClaimLost, renew_rechecks
from sync.attempts.observed import keeps_success, kept_result, observed_result
from sync.attempts.plan import AttemptFindings, Connectors
from sync.attempts.refused_access import classify_refusal
from sync.attempts.settle import SettledAttempt, settle_attempt
from sync.attempts.taken_values import resolve_taken_values
from sync.deliveries.claims import Claim, ConnectionPaused, claim_delivery
from sync.deliveries.expired_leases import release_subject
from sync.deliveries.ordering import find_next_of_subject
from sync.deliveries.postponement import postpone_delivery
from sync.deliveries.predicates import is_due, is_no_suspect
from sync.deliveries.record_links import note_failed_proof, read_link
from sync.deliveries.routes import is_referenced, record_first_values
from sync.deliveries.superseded import was_overtaken, was_superseded
from sync.metrics.measured_recorder import MeasuredRecorder
from sync.metrics.process_metrics import count_attempt, count_delivery, running_attempt
from sync.models import SETTLED_STATES, SUCCESS_STATES, AttemptCause, Connection, Delivery, PayloadChoice
from sync.planning.change import ScopeMove
from sync.planning.mapping import EntityNotMappable
from sync.references.missing_references import schedule_arrived, schedule_referring
from webhooks.models import EventOrigin, State, last_erasure

logger = logging.getLogger("hub.deliver")

# Seconds. Together they stay far below a lease, which must still hold when the database is back.
SETTLE_PAUSES = (0.1, 0.5, 2.0)
_JUST_ARRIVED = timedelta(seconds=1)

_NEXT_OF_IDENTITY, _NEXT_OF_TARGET = (
    Statement(
        f"""SELECT id FROM sync_delivery WHERE {connection} = %s AND {is_due()} AND {is_no_suspect()}
        ORDER BY due_at, id LIMIT 1"""  # noqa: S608
    )
    for connection in ("identity_id", "target_id")
)


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of running a delivery.

    `outcomes` has the events that were settled, each with its outcome if that is known without reading the database.
    `next_delivery` is the delivery that may run now. `is_settled` is true if an attempt ran and was settled.
    """

    outcomes: Mapping[int, EventOutcome | None] = field(default_factory=dict)
    next_delivery: int | None = None
    is_settled: bool = False


def run_delivery(delivery_id: int, *, in_own_process: bool = False) -> RunResult:
    """Run a delivery if it can be claimed. `in_own_process`: this process runs nothing else."""
    try:
        claim = claim_delivery(delivery_id, in_own_process=in_own_process) or _claim_after_release(
            delivery_id, in_own_process
        )
    except ConnectionPaused as paused:
        return RunResult(dict.fromkeys(postpone_delivery(delivery_id, paused.connection)))
    return RunResult() if claim is None else run_claim(claim)


def _claim_after_release(delivery_id: int, in_own_process: bool) -> Claim | None:
    """Release the subject from a process whose lease has ended, and claim again. Returns None if there was none."""
    delivery = Delivery.objects.filter(pk=delivery_id).first()
    if delivery is None or not release_subject(delivery):
        return None
    return claim_delivery(delivery_id, in_own_process=in_own_process)


def run_claim(claim: Claim) -> RunResult:
    """Run the attempt of a claimed delivery and settle it. Its log lines name the trace of its event."""
    token = TRACE_ID.set(claim.delivery.event.own_trace.trace_id)
    try:
        return _run_traced(claim)
    finally:
        TRACE_ID.reset(token)


def _run_traced(claim: Claim) -> RunResult:
    findings = AttemptFindings()
    recorders = [
        AttemptRecorder(claim, connection) for connection in (claim.delivery.identity, claim.delivery.target)
    ]
    try:
        with running_attempt():
            result = _run_or_observe(claim, findings, recorders)
    except ClaimLost:
        logger.warning("%s lost its lease before sending; nothing was sent", claim.delivery)
        # A write before this request may have been sent.
        renew_rechecks(claim, recorders)
        return RunResult()
    if findings.plan is not None and findings.plan.unseen.found:
        # Before the answer, so that the next webhook of the source finds the field as one that has had a value.
        _record_first_values(claim, findings.plan.unseen.found)
    settled = _settle_with_retries(claim, result, findings, recorders)
    if settled is None:
        logger.warning("%s was taken over while its attempt ran", claim.delivery)
        return RunResult()
    if settled.result.retry_delay is None and _lacks_records(settled.result, findings):
        # A record that was linked after the links were read and before the commit has woken no delivery.
        schedule_arrived(claim.delivery.pk)
    if findings.plan is not None and findings.plan.found.has_failed_proof and not claim.observes:
        note_failed_proof(claim.delivery)
    if _has_new_record(claim, settled.result, findings):
        schedule_referring(claim.delivery)
    next_delivery = claim.delivery.pk if settled.is_due_again else _find_next_delivery(claim.delivery)
    release_connection()
    _log_result(claim, settled.result, findings)
    _measure_result(claim, settled)
    outcomes: dict[int, EventOutcome | None] = dict.fromkeys(settled.events)
    outcomes[claim.delivery.event_id] = settled.outcome
    return RunResult(outcomes, next_delivery, is_settled=True)


def _measure_result(claim: Claim, settled: SettledAttempt) -> None:
    """Count a settled attempt, and the end of the delivery of a webhook: a replay begins when a person wants it."""
    result, cause, event = settled.result, claim.attempt.cause, claim.delivery.event
    owner = CATALOGUE[result.found_code].owner if result.found_code in CATALOGUE else "hub"
    count_attempt(str(result.outcome), owner)
    is_of_webhook = event.origin == EventOrigin.WEBHOOK and cause in (
        AttemptCause.WEBHOOK,
        AttemptCause.RETRY,
    )
    if result.state in SETTLED_STATES and is_of_webhook:
        age = timezone.now() - event.received_at
        count_delivery(str(result.state), age.total_seconds())


def _lacks_records(result: AttemptResult, findings: AttemptFindings) -> bool:
    """True if an attempt that has ended for good may have stored records that its delivery lacks."""
    has_references = findings.plan is not None and bool(findings.plan.linked)
    return bool(result.missing) or (result.state == State.DEAD and has_references)


def _record_first_values(claim: Claim, names: frozenset[str]) -> None:
    try:
        record_first_values(claim.route, names)
    except DatabaseError as error:
        # The next value of these fields is recorded instead.
        logger.warning("%s: first values could not be recorded (%s)", claim.delivery, type(error).__name__)


def _has_new_record(claim: Claim, result: AttemptResult, findings: AttemptFindings) -> bool:
    """True if other deliveries may wait for the record that this attempt has linked to the entity."""
    is_planned_success = result.state in SUCCESS_STATES and findings.change is not None
    if not (is_planned_success and findings.record_id) or findings.entity is None:
        return False
    # A retry or replay may find a link that an earlier attempt, or a person, has stored.
    is_known = claim.link is not None and claim.link.record_id == findings.record_id
    if is_known and claim.attempt.cause == AttemptCause.WEBHOOK:
        return False
    has_left = findings.plan is not None and findings.plan.change.scope is ScopeMove.LEFT
    return not has_left and is_referenced(claim.delivery.target_id, claim.delivery.entity_type)


def _find_next_delivery(delivery: Delivery) -> int | None:
    """Return the next delivery of the subject; else the next one that waits for the slot that became free."""
    next_delivery = find_next_of_subject(delivery)
    if next_delivery is None and delivery.target_slot is not None:
        next_delivery = _first_id(_NEXT_OF_TARGET, delivery.target_id)
    if next_delivery is None and delivery.identity_slot is not None:
        next_delivery = _first_id(_NEXT_OF_IDENTITY, delivery.identity_id)
    return next_delivery


def _first_id(statement: Statement, connection_id: int) -> int | None:
    row = statement.fetch_one(connection_id)
    return int(row[0]) if row else None


def _settle_with_retries(
    claim: Claim, result: AttemptResult, findings: AttemptFindings, recorders: list[AttemptRecorder]
) -> SettledAttempt | None:
    """Settle, and retry while the database is unavailable: the change was sent, and must be recorded."""
    for seconds in SETTLE_PAUSES:
        try:
            return settle_attempt(claim, result, findings, recorders)
        except OperationalError as error:
            logger.warning("%s could not be finished (%s); retrying", claim.delivery, type(error).__name__)
            release_connection()
            time.sleep(seconds)
    # If this raises too, the lease ends and the attempt is recorded as unknown.
    return settle_attempt(claim, result, findings, recorders)


def _run_or_observe(
    claim: Claim, findings: AttemptFindings, recorders: list[AttemptRecorder]
) -> AttemptResult:
    if claim.observes and keeps_success(claim):
        return kept_result(claim)
    result = _run_attempt(claim, findings, recorders)
    return observed_result(result, findings) if claim.observes else result


def _run_attempt(claim: Claim, findings: AttemptFindings, recorders: list[AttemptRecorder]) -> AttemptResult:
    try:
        claim = _with_current_link(claim)
        if is_older_than_applied(claim):
            return superseded_result()
        # Raises CannotDecrypt if the key of the person is destroyed: nothing about an erased person is sent. From here
        # on requests and responses can be encrypted, whenever it is destroyed.
        claim.delivery.event.key.require_usable()
        connectors = _open_connectors(claim, recorders, findings.scrubber)
        try:
            plan = plan_and_apply(claim, connectors, findings)
        except ConnectorError as error:
            refusal = classify_refusal(error, claim, connectors, findings)
            taken = resolve_taken_values(refusal, claim, connectors.target, findings)
            return replace(_result_of_error(refusal, claim), taken=taken)
    except ClaimLost:
        # No result of the attempt: another process may have the delivery, so nothing may be written.
        raise
    except Exception as error:  # noqa: BLE001 - the delivery boundary: recorded, logged, never raised
        return _result_of_error(error, claim)
    return success_result(plan)


def _with_current_link(claim: Claim) -> Claim:
    """Read the link again for a relayed delivery.

    A claim stored together with its delivery has the link from before, and another process may have applied a newer
    event since. A fetched delivery needs no check: a fetch returns the newest data.
    """
    return replace(claim, link=read_link(claim.delivery)) if claim.delivery.is_relayed else claim


def is_older_than_applied(claim: Claim) -> bool:
    """True if the webhook's data are older than those applied already. Never true for fetched deliveries."""
    if claim.delivery.payload_choice == PayloadChoice.ANYWAY:
        return False
    # A payload that a person chose to send as received must not overwrite newer data; a fetch cannot be outdated.
    if not claim.delivery.is_relayed:
        return claim.delivery.payload_choice == PayloadChoice.RECEIVED and was_superseded(claim.delivery)
    link, event = claim.link, claim.delivery.event
    if link is None or link.occurred_at is None or event.occurred_at is None:
        return _is_from_before_erasure(claim) or (
            link is not None
            and _may_be_overtaken(claim)
            and was_overtaken(claim.delivery, is_ordered_by_time=False)
        )
    if event.occurred_at < link.occurred_at:
        return True
    return _may_be_overtaken(claim) and was_overtaken(claim.delivery, is_ordered_by_time=True)


def _is_from_before_erasure(claim: Claim) -> bool:
    """True if an event tells of an entity as it was before its data were erased, and nothing newer is known of it.

    The erasure has removed the ids by which a webhook that is sent again is recognized, and the timestamps of the
    entity, but not the pseudonym of its destroyed key.
    """
    event, link = claim.delivery.event, claim.link
    if link is not None and event.occurred_at is None:
        return False
    erased_at = last_erasure(event.key.pseudonym)
    return erased_at is not None and event.earliest_time <= erased_at


def _may_be_overtaken(claim: Claim) -> bool:
    """False for the first attempt of a webhook that has just arrived: nothing newer was applied since."""
    return claim.attempt.number > 1 or timezone.now() - claim.delivery.event.received_at > _JUST_ARRIVED


def _result_of_error(error: Exception, claim: Claim) -> AttemptResult:
    result = failure_result(error, claim)
    if result.code == "internal-failure":
        logger.error("%s: unexpected %s", claim.delivery, type(error).__name__, exc_info=error)
    elif result.code == HUB_EXHAUSTED_CODE:
        logger.error(
            "%s: %s; raise the limits of open files and memory", claim.delivery.event.reference, error
        )
    else:
        logger.info("%s %s: %s", claim.delivery.event.reference, result.code, _error_text(error))
    return result


def _error_text(error: Exception) -> str:
    # Only these messages are known to contain no personal data.
    return str(error) if isinstance(error, ConnectorError | EntityNotMappable) else type(error).__name__


def _open_connectors(claim: Claim, recorders: list[AttemptRecorder], scrubber: SecretScrubber) -> Connectors:
    """Open both connectors, each with its own recorder. The attempt's key and the event's trace go out with every
    request.
    """
    key, event = str(claim.attempt.key), claim.delivery.event
    identity, target = (claim.delivery.identity, claim.delivery.target)
    return Connectors(
        open_connector(identity, key, recorders[0], scrubber, "", event.own_trace),  # type: ignore[arg-type]
        open_connector(target, key, recorders[1], scrubber, event.language, event.own_trace),  # type: ignore[arg-type]
    )


def open_connector(
    connection: Connection,
    request_id: str,
    recorder: Recorder,
    scrubber: SecretScrubber | None = None,
    language: str = "",
    trace: Trace | None = None,
) -> object:
    """Return the connector of a configured connection. Raises ConnectorError if its stored settings are invalid.

    `language`: of the answer, in which the system is asked to explain a refused write. `trace`: of the event that the
    requests are for. `scrubber`: shared by the connectors of a delivery, because one system may repeat what the other
    one knows.
    """
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
            recorder=MeasuredRecorder(recorder, connection.slug),
            scrubber=scrubber,
            language=language,
            trace=trace,
        )
    except CannotDecrypt as error:
        # Retried too: an administrator may enter them again, or restore the addresses or the key.
        sentence = f"{connection.slug}: no request was sent: the stored credentials: {error}"
        raise CredentialsRefused(sentence, side=side) from None
    except SettingsInvalid as invalid:
        # Both errors are retried, since an administrator may correct the settings.
        error_class = CredentialsRefused if invalid.pointer.startswith("/credentials") else SystemUnavailable
        raise error_class(str(invalid), side=side) from None
    except OSError as error:
        # TLS reads the client certificate from a file in memory.
        if not is_resource_shortage(error):
            raise
        raise HubExhausted(SHORTAGE_REASON, side=side) from None


def _log_result(claim: Claim, result: AttemptResult, findings: AttemptFindings) -> None:
    change = findings.change
    fields = ", ".join(field.name for field in change.fields) if change else ""
    action = ACTION_CODES[change.action] if change else "no plan"
    if result.state in (State.DEAD, State.RETRYING, State.HELD):
        action = f"{result.code}, planned: {action}"
    logger.info(
        "%s %s at %s: %s%s%s",
        claim.delivery.event.reference,
        result.state,
        claim.delivery.target.slug,
        action,
        f" {findings.record_id}" if findings.record_id else "",
        f" ({fields})" if fields else "",
    )
