"""Measure the requests to a connected system, whatever they are sent for."""

from connectors.exchange import RecordedExchange, Recorder
from sync.metrics.process_metrics import count_request


class MeasuredRecorder:
    """A `Recorder` that counts each exchange, and passes everything to another one."""

    def __init__(self, recorder: Recorder, slug: str) -> None:
        self.record_request, self.check_before_sending = (
            recorder.record_request,
            recorder.check_before_sending,
        )
        self._recorder, self._slug = recorder, slug

    def record_exchange(self, exchange: RecordedExchange) -> None:
        """Count a finished exchange, and record it."""
        count_request(self._slug, exchange.request.purpose, exchange.error_code or "", exchange.seconds)
        self._recorder.record_exchange(exchange)
