"""What an attempt sends is on record before it is sent (promise I3).

A write's row, with the request sealed, is committed together with a renewed lease that proves the claim is still
ours. Reads are written with the attempt's end: the attempt's own row, committed before the first of them, accounts
for them.
"""

import json
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction

from sync.claiming import Claim
from sync.clock import database_now_plus
from sync.connectors.exchange import Exchange, Outgoing
from sync.models import Call, Connection
from sync.releasing import release_connection
from webhooks.models import Payload

SHOWN_BYTES = 65_536
_ANSWERED = ["started_at", "seconds", "status", "error", "sent_bytes", "received_bytes", "response"]


class ClaimLost(Exception):
    """The lease ended and somebody else may work on this subject: nothing may be sent any more."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A call whose end is not written yet. `is_on_record`: its row is, since before it was sent."""

    call: Call
    request: Payload | None
    response: Payload | None
    is_on_record: bool

    @property
    def payloads(self) -> list[Payload]:
        return [each for each in (self.request, self.response) if each is not None]


class AttemptRecorder:
    """The `Recorder` of one attempt and one connection. `calls` holds what is not written yet, in order."""

    def __init__(self, claim: Claim, connection: Connection) -> None:
        self._claim = claim
        self._connection = connection
        self._written: Call | None = None
        self.calls: list[Kept] = []

    def about_to_send(self, request: Outgoing) -> None:
        """Commit a write's row; `ClaimLost` where the claim is not ours any more."""
        if request.write:
            self._written = self._commit(request)
        release_connection()

    def answered(self, exchange: Exchange) -> None:
        """Keep what came of a request for the commit that ends the attempt."""
        call, self._written = self._written, None
        request = None
        if call is None:
            call = self._call(exchange.outgoing)
            request = _request(exchange.outgoing)
        call.started_at = exchange.started_at
        call.seconds = exchange.seconds
        call.status = exchange.status
        call.error = exchange.error or ""
        call.sent_bytes = exchange.sent_bytes
        call.received_bytes = exchange.received_bytes
        self.calls.append(Kept(call, request, _response(exchange), is_on_record=request is None))

    def _commit(self, request: Outgoing) -> Call:
        with transaction.atomic():
            if not self._claim.held.update(lease_until=database_now_plus(settings.LEASE_SECONDS)):
                raise ClaimLost
            payload = _request(request)
            payload.save()
            call = self._call(request)
            call.request = payload
            call.save()
        return call

    def _call(self, request: Outgoing) -> Call:
        return Call(
            attempt=self._claim.attempt,
            connection=self._connection,
            purpose=request.purpose,
            is_write=request.write,
            method=request.method,
            path=request.path[:300],
            key=request.key or "",
            started_at=self._claim.attempt.started_at,
        )


def _request(request: Outgoing) -> Payload:
    return _sealed(
        Payload.Kind.REQUEST,
        {"url": request.url, "headers": dict(request.headers), "body": _text(request.body)},
    )


def _response(exchange: Exchange) -> Payload | None:
    if exchange.status is None:
        return None
    return _sealed(Payload.Kind.RESPONSE, {"headers": dict(exchange.headers), "body": _text(exchange.body)})


def _sealed(kind: str, document: dict[str, Any]) -> Payload:
    return Payload.of(kind, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


def _text(body: bytes | None) -> str | None:
    """Bodies are kept up to 64 KiB, as text; what is no UTF-8 shows as replacement characters."""
    return None if body is None else body[:SHOWN_BYTES].decode("utf-8", "replace")


def save_calls(recorders: list[AttemptRecorder]) -> None:
    """Write the calls that are not on record yet and complete those that are; inside the settling transaction."""
    kept = sorted(
        (each for recorder in recorders for each in recorder.calls), key=lambda each: each.call.started_at
    )
    Payload.objects.bulk_create([each for kept_one in kept for each in kept_one.payloads])
    for each in kept:
        each.call.request = each.request or each.call.request
        each.call.response = each.response
    Call.objects.bulk_create([each.call for each in kept if not each.is_on_record])
    for each in kept:
        if each.is_on_record:
            each.call.save(update_fields=_ANSWERED)
