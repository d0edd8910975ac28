"""Traces of events over all systems: W3C Trace Context, https://www.w3.org/TR/trace-context/."""

import re
from contextvars import ContextVar
from typing import NamedTuple

# The trace of the work of this thread, which its log lines name; empty: none.
TRACE_ID: ContextVar[str] = ContextVar("trace_id", default="")

# Sampled, and random trace id. By the specification no other flag is passed on.
_KNOWN_FLAGS = 0b11
# A trace that begins here is recorded here: attempts and log lines name it.
OWN_FLAGS = "01"
_TRACE_ID_LENGTH = 32
# A later version may append to what is known of version 00. 255 is no version, and ids of zeros are none.
_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-[\x20-\x7e]{0,400})?",
    re.ASCII,
)


class Trace(NamedTuple):
    """A trace: its id, and the flags that are passed on, in hexadecimal digits."""

    trace_id: str
    flags: str


def read_traceparent(header: str | None) -> bytes | None:
    """Return the trace id and the flags of a header, 17 bytes; None if there is none, or none that is valid."""
    match = None if header is None else _TRACEPARENT.fullmatch(header)
    if match is None or (match[1] == "00" and match[4] is not None):
        return None
    return bytes.fromhex(match[2]) + bytes([int(match[3], 16) & _KNOWN_FLAGS])


def stored_trace(trace: bytes) -> Trace:
    """Return the trace of the bytes that `read_traceparent` returned."""
    digits = trace.hex()
    return Trace(digits[:_TRACE_ID_LENGTH], digits[_TRACE_ID_LENGTH:])
