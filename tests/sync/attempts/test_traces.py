"""One trace from the source of an event to both systems, read back from their journals.

No other test sends a `traceparent`, or reads one.
"""

import json
import logging
from typing import Any

import pytest

from config_schema.codes.trace_context import TRACE_ID
from integration_hub.logs import LineFormatter
from sync.erasure.erase import run_erasure
from sync.execution.executor import run_due_deliveries
from sync.models import Delivery
from sync.replays.requests import request_replay
from tests.support.builders.erasure import confirmed_erasure, invented_person, receive_people
from tests.support.hub import EXAMPLE, Hub
from tests.support.people import person
from webhooks.models import Event, State

SENT_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = f"00-{SENT_ID}-{SPAN_ID}-00"
PAST = "2020-01-01T00:00:00Z"


def traces(*systems: Any) -> list[tuple[str, str]]:
    """Return trace id and flags of each request that the systems have had, of which each has a span of its own."""
    sent = [
        {name.lower(): value for name, value in request["headers"].items()}["traceparent"].split("-")
        for system in systems
        for request in system.read_journal()
    ]
    assert len({span for _version, _trace, span, _flags in sent} | {SPAN_ID}) == len(sent) + 1
    assert all(len(parts) == 4 and parts[0] == "00" and len(parts[2]) == 16 for parts in sent)
    return [(trace, flags) for _version, trace, _span, flags in sent]


def test_a_trace_goes_from_the_source_through_retries_and_replays_to_both_systems(hub: Hub) -> None:
    hub.shop.faults.add("error", status=503, methods=["PATCH"], times=1)
    hub.change_email("anna.first@example.com")
    hub.post_signed(EXAMPLE, traceparent=SENT)
    Delivery.objects.filter(state=State.RETRYING).update(due_at=PAST, not_before=None)
    run_due_deliveries()
    hub.change_email("anna.second@example.com")
    request_replay(list(Event.objects.all()), by=person(), reason="again")
    hub.wait_until_idle()
    assert len(hub.writes()) == 3
    assert set(traces(hub.identity, hub.shop)) == {(SENT_ID, "00")}


@pytest.mark.parametrize(
    "header",
    [None, f"{SENT}-more", f"00-{SENT_ID}-{SPAN_ID}-zz", "€" * 5_000, f"{SENT}\r\nX-Evil: 1"],
    ids=["none", "longer", "no hex", "long", "two lines"],
)
def test_without_a_valid_header_a_trace_begins_with_each_event(hub: Hub, header: str | None) -> None:
    headers = {} if header is None else {"traceparent": header}
    hub.change_email("anna.new@example.com")
    assert hub.post_signed(EXAMPLE, **headers).status_code == 200
    event = Event.objects.get()
    assert set(traces(hub.identity, hub.shop)) == {(event.uuid.hex, "01")}
    assert event.trace is None
    assert not any("X-Evil" in request["headers"] for request in hub.shop.read_journal())


def test_each_log_line_of_an_event_names_its_trace_and_others_none(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[tuple[str, dict[str, str]]] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text, document = (LineFormatter(kind).format(record) for kind in ("text", "json"))
            lines.append((text, json.loads(document)))

    collector = Collector()
    logger = logging.getLogger("hub")
    logger.addHandler(collector)
    caplog.set_level("INFO", "hub")
    try:
        hub.post_signed(EXAMPLE, traceparent=SENT)
        hub.post_signed(b"{", traceparent=SENT)
        assert TRACE_ID.get() == "", "for what this thread does next"
        hub.post(EXAMPLE, "nobody", traceparent=SENT)
        hub.wait_until_quiet()
    finally:
        logger.removeHandler(collector)
    of_trace = [(text, line) for text, line in lines if line.get("trace_id") == SENT_ID]
    assert {line["logger"] for _, line in of_trace} == {"hub.receive", "hub.deliver"}
    assert all(text.endswith(f" [trace {SENT_ID}]") for text, _ in of_trace)
    reference = Event.objects.get().reference
    assert {line["message"] for _, line in lines if reference in line["message"]} <= {
        line["message"] for _, line in of_trace
    }
    refused = [(text, line) for text, line in lines if "refused nobody" in line["message"]]
    assert refused
    assert not any("trace" in text or "trace_id" in line for text, line in refused)


def test_an_erasure_removes_the_trace_that_the_source_sent(hub: Hub) -> None:
    (erased,) = receive_people(hub, [invented_person(0)])
    Event.objects.update(trace=b"anna@example.com\1")
    assert run_erasure(confirmed_erasure(erased))
    assert set(Event.objects.values_list("trace", flat=True)) == {None}
