"""The probes that the loop answers: `/live` always, and `/ready` once the process stops.

The threads may all wait for other systems. That is no reason to restart a process, which a probe without an answer is.
"""

from integration_hub.probes.answers import DRAINING, LIVE_PATH, READY_PATH, format_status
from integration_hub.web_server.refusals import format_response
from integration_hub.web_server.request_reader import RequestReader


def build_probe_response(reader: RequestReader, *, is_stopping: bool) -> bytes:
    """Return the response to a complete request if it is such a probe, otherwise nothing."""
    path = reader.request.path if reader.request.method in ("GET", "HEAD") else ""
    if path == LIVE_PATH:
        status, body = 200, format_status()
    elif path == READY_PATH and is_stopping:
        status, body = 503, format_status(DRAINING)
    else:
        return b""
    return format_response(status, body, "application/json", without_body=reader.is_head)
