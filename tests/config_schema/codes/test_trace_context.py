"""What counts as a W3C `traceparent`, and what of it goes on. No other test holds the grammar."""

import pytest

from config_schema.codes.trace_context import read_traceparent, stored_trace

pytestmark = pytest.mark.pure

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        (f"00-{TRACE_ID}-{SPAN_ID}-01", "01"),
        (f"00-{TRACE_ID}-{SPAN_ID}-00", "00"),
        (f"00-{TRACE_ID}-{SPAN_ID}-ff", "03"),
        (f"cc-{TRACE_ID}-{SPAN_ID}-01", "01"),
        (f"cc-{TRACE_ID}-{SPAN_ID}-01-what the.future/will-be", "01"),
    ],
    ids=["sampled", "not sampled", "unknown flags", "later version", "later version with more"],
)
def test_trace_id_and_known_flags_of_a_valid_header_go_on(header: str, flags: str) -> None:
    stored = read_traceparent(header)
    assert stored is not None
    assert len(stored) == 17
    assert stored_trace(stored) == (TRACE_ID, flags)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"00-{TRACE_ID}-{SPAN_ID}-01 ",
        f"00-{TRACE_ID}-{SPAN_ID}-01\n",
        f"00-{TRACE_ID}-{SPAN_ID}-01\r\nX-Evil: 1",
        f"cc-{TRACE_ID}-{SPAN_ID}-01-a\r\nX-Evil: 1",
        f"cc-{TRACE_ID}-{SPAN_ID}-01.more",
        f"cc-{TRACE_ID}-{SPAN_ID}-01-{'a' * 100_000}",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"0x-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID[:-1]}٣-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01,00-{TRACE_ID}-{SPAN_ID}-01",
        "0" * 1_000_000,
    ],
)
def test_any_other_header_is_none(header: str | None) -> None:
    assert read_traceparent(header) is None
