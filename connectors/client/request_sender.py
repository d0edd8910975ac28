"""Send prepared requests to one connection, record each exchange, and classify the responses."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from connectors.auth.placed_secrets import list_secret_headers, mask_placed, place_secrets
from connectors.client.client_config import AttemptOptions, ClientConfig
from connectors.contracts import errors
from connectors.exchange import (
    PreparedRequest,
    Purpose,
    Recorder,
    ResponseClassification,
    start_exchange,
)
from connectors.http.message_types import (
    AddressRefused,
    CertificateRefused,
    ConnectionFailed,
    DeadlineExceeded,
    ExchangeFailure,
    HttpEndpoint,
    HttpResponse,
    HubExhausted,
    UrlNotAllowed,
)
from connectors.http.transport import transmit_request
from connectors.values.json_responses import ExpressionOverBudget
from connectors.values.secret_forms import SecretSet
from connectors.values.secret_scrubber import SecretScrubber

# Purposes of requests that change nothing, whatever their method.
_READS: frozenset[Purpose] = frozenset({"fetch", "list", "get", "search", "probe"})
_ERRORS_BY_FAILURE: Mapping[type[ExchangeFailure], type[errors.ConnectorError]] = {
    DeadlineExceeded: errors.RequestTimedOut,
    ConnectionFailed: errors.SystemUnavailable,
    AddressRefused: errors.SystemUnavailable,
    HubExhausted: errors.HubExhausted,
    UrlNotAllowed: errors.UnsafeRequest,
    CertificateRefused: errors.CredentialsRefused,
}


class ReceivedResponse(NamedTuple):
    """A response and its classification.

    If a rule exceeded its budget, `classification` is None and `costly` is the error, which the caller raises once the
    response is recorded.
    """

    answer: HttpResponse
    classification: ResponseClassification | None
    costly: ExpressionOverBudget | None = None


def _classify_answer(
    call: PreparedRequest, answer: HttpResponse, accepted_statuses: frozenset[int]
) -> ReceivedResponse:
    try:
        return ReceivedResponse(answer, call.classify(answer, accepted_statuses))
    except ExpressionOverBudget as costly:
        return ReceivedResponse(answer, None, costly)


@dataclass(frozen=True, slots=True, repr=False)
class RequestSender:
    """Sends the requests of one attempt, and records each transmission as an exchange of its own."""

    config: ClientConfig
    options: AttemptOptions
    recorder: Recorder
    scrubber: SecretScrubber

    def send(
        self,
        call: PreparedRequest,
        secret_headers: Mapping[str, str],
        accepted_statuses: frozenset[int] = frozenset(),
    ) -> ReceivedResponse:
        """Send a request with its secret headers, and once more if it is a read over a closed pooled connection.

        Returns a response of any status. Raises errors.ConnectorError without one, and what the recorder raises.
        """
        try:
            return self._send_once(call, secret_headers, accepted_statuses)
        except ExchangeFailure as failure:
            # Only reads are repeated: a write over a closed connection may have arrived.
            is_read = call.method in ("GET", "OPTIONS") or call.purpose in _READS
            if not (failure.was_pooled and is_read):
                raise self._connector_error(call, failure) from None
        try:
            return self._send_once(call, secret_headers, accepted_statuses)
        except ExchangeFailure as failure:
            raise self._connector_error(call, failure) from None

    def _send_once(
        self, call: PreparedRequest, secret_headers: Mapping[str, str], accepted_statuses: frozenset[int]
    ) -> ReceivedResponse:
        """Run one exchange and record it before and after. Raises ExchangeFailure, also if it cannot be signed."""
        call = self._with_trace(call)
        masked, placed = call, self.config.placed_secrets
        if placed and call.origin == self.config.base_url.origin:
            secret_headers = {**secret_headers, **list_secret_headers(placed)}
            masked, call = place_secrets(call, mask_placed(placed)), place_secrets(call, placed)
        if self.config.signer is not None and call.origin == self.config.base_url.origin:
            signed = self.config.signer(call)
            self._mask_secret(signed.secret)
            call, secret_headers = signed.call, {**secret_headers, **signed.headers}
        exchange = start_exchange(call, masked, secret_headers, self.recorder, self.scrubber)
        try:
            answer = transmit_request(exchange.request, self._endpoint_for(call))
        except ExchangeFailure as failure:
            error = self._connector_error(call, failure)
            exchange.record_failure(error.code, failure.bytes_received)
            raise
        received = _classify_answer(call, answer, accepted_statuses)
        kind = received.classification.error if received.classification else errors.SettingOverBudget
        exchange.record_response(answer, f"{self.config.side}-{kind.code_suffix}" if kind else None)
        return received

    def _with_trace(self, call: PreparedRequest) -> PreparedRequest:
        """Add the header that continues the trace, each time with a new span, unless the settings set it."""
        if self.options.trace is None or "traceparent" in map(str.lower, call.headers):
            return call
        trace_id, flags = self.options.trace
        traceparent = f"00-{trace_id}-{os.urandom(8).hex()}-{flags}"
        return call._replace(headers={**call.headers, "traceparent": traceparent})

    def _mask_secret(self, secret: str) -> None:
        """Remove a secret of one transmission from what is recorded."""
        secrets = SecretSet()
        secrets.add_recent(secret)
        self.scrubber.include(secrets)

    def _endpoint_for(self, call: PreparedRequest) -> HttpEndpoint:
        """Return the endpoint for a request. Only the connection's own origin uses its authorities and networks.

        A token endpoint elsewhere has authorities of its own: those of the system must not vouch for it, and it is
        often public. Both get the client certificate.
        """
        config = self.config
        limits, certificate = (
            (self.options.deadline_seconds, self.options.byte_cap),
            config.client_certificate,
        )
        if call.origin != config.base_url.origin:
            return HttpEndpoint(call.origin, *limits, config.token_authorities, (), certificate)
        shared = config.options
        return HttpEndpoint(call.origin, *limits, shared.ca, shared.networks, certificate)

    def _connector_error(self, call: PreparedRequest, failure: ExchangeFailure) -> errors.ConnectorError:
        kind = _ERRORS_BY_FAILURE.get(type(failure), errors.UnreadableResponse)
        within = f" in {self.options.deadline_seconds:g} s" if kind is errors.RequestTimedOut else ""
        message = f"{call.label}: {failure}{within}"
        return kind(message, side=self.config.side, maybe_applied=call.is_write and failure.may_have_arrived)
