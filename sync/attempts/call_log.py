"""Record outgoing requests: a write is on record before it is sent (promise I3).

A write's row, with its encrypted request, is committed together with a check of the lease. The check proves that the
claim is still ours, and will be when the answer comes. The lease is checked once more when the connection is open,
right before the first byte of a write leaves. Reads are written at the end of the attempt: the attempt's own row,
committed before the first of them, accounts for them.

The lease is renewed before each request if it would end first. So a slow system is not mistaken for a dead process,
however many requests it gets.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from connectors.exchange import OutgoingRequest, RecordedExchange
from database.clock import database_now
from database.connection import release_connection
from database.model_rows import new_row
from database.statement import BoundStatement, Statement
from database.write_batch import GuardFailed, WriteBatch
from sync.deliveries.claims import Claim
from sync.deliveries.predicates import subject_filter
from sync.limits.rate_limit import wait_for_turn
from sync.models import Attempt, Call, Connection, Delivery, Recheck, new_recheck
from sync.models.connection import LEASE_MARGIN_SECONDS
from webhooks.models import Payload, SubjectKey

MAX_BODY_BYTES = 65_536
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_COMPLETE_CALL = Statement(
    """UPDATE sync_call SET started_at = %s, seconds = %s, status = %s, error = %s, sent_bytes = %s,
    received_bytes = %s, response_id = %s, response_part = %s WHERE id = %s"""
)


_leaves_content_out: ContextVar[bool] = ContextVar("leaves_content_out", default=False)


@contextmanager
def without_stored_content() -> Iterator[None]:
    """Store no content of the calls in the block, which read other entities or records than that of the attempt.

    It would be encrypted with the key of this entity, and an erasure of the others would not find it.
    """
    token = _leaves_content_out.set(True)
    try:
        yield
    finally:
        _leaves_content_out.reset(token)


class ClaimLost(Exception):
    """The lease ended and another process may work on this subject: nothing may be sent any more."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call whose result is not written yet.

    If `is_on_record`, its row was committed before it was sent, as for all writes. `response` is the stored part of the
    response, and for a read also of the request; empty if nothing is stored.
    """

    call: Call
    response: Mapping[str, Any]
    is_on_record: bool


class AttemptRecorder:
    """The `Recorder` of one attempt and one connection. `calls` holds calls that are not written yet, in order."""

    def __init__(self, claim: Claim, connection: Connection) -> None:
        self._claim = claim
        self.connection = connection
        self._key = claim.delivery.event.key
        self._written: Call | None = None
        # From before the commit of a write's row until its result is recorded.
        self._is_write_open = False
        self.calls: list[RecordedCall] = []

    @property
    def has_unrecorded_write(self) -> bool:
        """True if the row of a write may be stored that is not in `calls`: the answer to its commit was lost, or
        something failed before the write was sent.
        """
        return self._is_write_open

    @property
    def has_sent_write(self) -> bool:
        """True if a write of this attempt may have reached the target."""
        return any(call.call.is_write and call.call.sent_bytes for call in self.calls)

    def record_request(self, request: OutgoingRequest) -> None:
        """Wait for the connection's rate limit, then commit the row of a write, or renew the lease for a read.

        Raises ClaimLost if the claim is not ours any more, RateLimited if the request would have to wait too long, and
        RuntimeError for a write of a route that observes, which only a fault can ask for.
        """
        if request.is_write and self._claim.observes:
            raise RuntimeError("a route that observes writes nothing")
        if (limit := self.connection.requests_per_second) is not None:
            # The lease must outlast the wait and the request after it.
            wait_for_turn(self.connection, limit, settings.LEASE_SECONDS - self.connection.deadline_seconds)
        needed = self.connection.deadline_seconds + LEASE_MARGIN_SECONDS
        if request.is_write:
            self._written = self._commit_write(request, needed)
        elif not self._claim.ensure_lease(needed):
            raise ClaimLost
        # The remote system may take long: the connection goes back to the pool meanwhile.
        release_connection()

    def check_before_sending(self, _: OutgoingRequest) -> None:
        """Raise ClaimLost if the lease has ended since a write was recorded: another process may have written since.

        Reads this process's clock only. What remains is a process that is stopped between this check and the first
        byte: it finds out at the end of its attempt.
        """
        if not self._claim.lease_lasts:
            raise ClaimLost

    def record_exchange(self, exchange: RecordedExchange) -> None:
        """Store the result of a request for the commit that ends the attempt."""
        call, self._written = self._written, None
        self._is_write_open = self._is_write_open and not exchange.request.is_write
        is_on_record = call is not None
        call = call or self._new_call(exchange.request)
        call.started_at = exchange.started_at
        call.seconds = exchange.seconds
        call.status = exchange.status
        call.error = exchange.error_code or ""
        call.sent_bytes = exchange.sent_bytes
        call.received_bytes = exchange.received_bytes
        response = (
            {} if _leaves_content_out.get() else _response_document(exchange, with_request=not is_on_record)
        )
        self.calls.append(RecordedCall(call, response, is_on_record))

    def _commit_write(self, request: OutgoingRequest, needed: float) -> Call:
        payload = _encrypt_document(Payload.Kind.REQUEST, _request_document(request), self._key)
        call = self._new_call(request)
        call.request = payload
        batch = WriteBatch()
        batch.require(self._claim.lease_check(needed))
        batch.insert(payload, call)
        self._is_write_open = True
        try:
            batch.run()
        except GuardFailed:
            # Either the lease ends too soon, or the claim is lost: the renewal finds out.
            self._renew_lease_and_store(payload, call)
        return call

    def _renew_lease_and_store(self, payload: Payload, call: Call) -> None:
        """Store a write whose claim does not last long enough. Raises ClaimLost if it is not ours any more."""
        # In one transaction, because the renewal locks the delivery: no other process takes it over before
        # the row is committed.
        with transaction.atomic():
            if not self._claim.renew_lease():
                raise ClaimLost
            batch = WriteBatch()
            batch.insert(payload, call)
            batch.run()

    def _new_call(self, request: OutgoingRequest) -> Call:
        return new_row(
            Call,
            attempt=self._claim.attempt,
            connection=self.connection,
            purpose=request.purpose,
            is_write=request.is_write,
            method=request.method,
            path=request.path_template[:300],
            key=request.idempotency_key or "",
            # Replaced by the true time when the response is recorded.
            started_at=self._claim.attempt.started_at,
        )


def _request_document(request: OutgoingRequest) -> dict[str, Any]:
    return {"url": request.url, "headers": dict(request.headers), "body": _body_text(request.body)}


def _response_document(exchange: RecordedExchange, *, with_request: bool) -> dict[str, Any]:
    """Return the response, with the request if no row contains it yet. Empty if there is neither."""
    document: dict[str, Any] = {}
    if exchange.status is not None:
        document = {"headers": dict(exchange.headers), "body": _body_text(exchange.body)}
    if with_request:
        document["request"] = _request_document(exchange.request)
    return document


def _encrypt_document(kind: str, document: Any, key: SubjectKey) -> Payload:
    return Payload.new(kind, _ENCODER.encode(document).encode(), key)


def _body_text(body: bytes | None) -> str | None:
    """Return the first 64 KiB of a body as text. Bytes that are no UTF-8 become replacement characters."""
    return None if body is None else body[:MAX_BODY_BYTES].decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class SettledCalls:
    """The calls that a settlement writes, by start time, and the payload that contains all their responses.

    `unrecorded`: the rows of writes whose result is not known here. They stay as they are.
    """

    recorded: tuple[RecordedCall, ...]
    responses: Payload | None
    unrecorded: tuple[Call, ...] = ()

    @property
    def rows(self) -> list[Call]:
        """Return all rows of the attempt's calls."""
        return [*(recorded_call.call for recorded_call in self.recorded), *self.unrecorded]

    def with_unrecorded(self, attempt: Attempt) -> "SettledCalls":
        """Return the calls with those of the attempt that are stored and not known here. Reads the rows."""
        known = [recorded_call.call.pk for recorded_call in self.recorded if recorded_call.is_on_record]
        stored = Call.objects.filter(attempt=attempt).exclude(pk__in=known).select_related("request")
        return replace(self, unrecorded=tuple(stored.order_by("pk")))

    def add_to(self, batch: WriteBatch) -> None:
        """Insert calls that are not on record yet, and complete those that are, with their responses."""
        # The rows of the calls refer to the payload, so the payload goes first.
        if self.responses is not None:
            batch.insert(self.responses)
        for recorded_call in self.recorded:
            if recorded_call.is_on_record:
                batch.execute(_call_update(recorded_call.call))
            else:
                batch.insert(recorded_call.call)


def collect_calls(recorders: Iterable[AttemptRecorder], key: SubjectKey) -> SettledCalls:
    """Collect the calls of an attempt that are to be written, and encrypt their responses as one list.

    Sets the payload of each call with a response, and the position in it.
    """
    recorded = sorted(
        (recorded_call for recorder in recorders for recorded_call in recorder.calls),
        key=lambda recorded_call: recorded_call.call.started_at,
    )
    with_response = [recorded_call for recorded_call in recorded if recorded_call.response]
    if not with_response:
        return SettledCalls(tuple(recorded), None)
    payload = _encrypt_document(
        Payload.Kind.RESPONSE, [recorded_call.response for recorded_call in with_response], key
    )
    for position, recorded_call in enumerate(with_response):
        recorded_call.call.response, recorded_call.call.response_part = payload, position
    return SettledCalls(tuple(recorded), payload)


def _call_update(call: Call) -> BoundStatement:
    return _COMPLETE_CALL.bind(
        call.started_at,
        call.seconds,
        call.status,
        call.error,
        call.sent_bytes,
        call.received_bytes,
        call.response,
        call.response_part,
        call.pk,
    )


def unanswered_creation_key(delivery: Delivery) -> str:
    """Return the idempotency key of the last creation for a delivery's subject, if no answer to it came; else an empty
    text. The target may have carried out such a creation, or may still do so.
    """
    subject = {f"attempt__delivery__{name}": value for name, value in subject_filter(delivery).items()}
    creations = Call.objects.filter(
        **subject,
        # By the index of events.
        attempt__delivery__event__entity_id=delivery.entity_id,
        purpose="create",
        is_write=True,
    )
    last = creations.order_by("-pk").values_list("key", "status").first()
    return "" if last is None or last[1] is not None else last[0]


def renew_rechecks(claim: Claim, recorders: Iterable[AttemptRecorder]) -> None:
    """Begin the re-checks of an attempt again, from now on. Does nothing if it sent no write.

    Call it if another process took the delivery over: that process ended the attempt as `unknown`, with re-checks that
    count from that moment, and this write may have been sent much later.
    """
    if not (claim.delivery.gets_rechecks and any(recorder.has_sent_write for recorder in recorders)):
        return
    with transaction.atomic():
        # A check that runs continues, but does not count: it may have read the record before this write.
        restarted = Recheck.objects.filter(attempt=claim.attempt).update(
            began_at=database_now(),
            due_at=database_now(plus_seconds=settings.RECHECK_SECONDS[0]),
            delivery=None,
            first_number=None,
            confirmed_at=None,
            repaired_by=None,
        )
        if not restarted:
            _insert_recheck(claim)


def _insert_recheck(claim: Claim) -> None:
    batch = WriteBatch()
    batch.insert(new_recheck(claim.attempt))
    try:
        # A savepoint: the process that took over may insert the row at this moment.
        with transaction.atomic():
            batch.run()
    except IntegrityError:
        return
