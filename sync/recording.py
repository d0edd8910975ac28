"""What an attempt sends is on record before it is sent (promise I3).

A write's row, with the request sealed, is committed together with a renewed lease that proves the claim is still
ours. Reads are written with the attempt's end: the attempt's own row, committed before the first of them, accounts
for them.
"""

import json
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


class ClaimLost(Exception):
    """The lease ended and somebody else may work on this subject: nothing may be sent any more."""


class AttemptRecorder:
    """The `Recorder` of one attempt and one connection. `calls` holds what is not written yet, in order."""

    def __init__(self, claim: Claim, connection: Connection) -> None:
        self._claim = claim
        self._connection = connection
        self._written: Call | None = None
        self.calls: list[tuple[Call, Payload | None, Payload | None]] = []

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
        self.calls.append((call, request, _response(exchange)))

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
        Payload.Kind.REQUEST, {"url": request.url, "headers": dict(request.headers), "body": _text(request.body)}
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
    entries = sorted((entry for each in recorders for entry in each.calls), key=lambda entry: entry[0].started_at)
    payloads = [payload for _, *pair in entries for payload in pair if payload is not None]
    Payload.objects.bulk_create(payloads)
    for call, request, response in entries:
        call.request = request or call.request
        call.response = response
    Call.objects.bulk_create([call for call, *_ in entries if call.pk is None])
    for call, *_ in entries:
        if call.is_write and call.request_id and call.pk:
            call.save(update_fields=["started_at", "seconds", "status", "error", "sent_bytes", "received_bytes", "response"])
