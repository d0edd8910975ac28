"""A broken variant of the hub's worker: its threads wait until the client has taken the response."""

from integration_hub.web_server.response_writer import ResponseWriter
from integration_hub.web_server.worker import HubWorker


def _send_all(writer: ResponseWriter, data: bytes) -> None:
    writer._sock.settimeout(10.0)
    writer._sock.sendall(data)


ResponseWriter.sendall = _send_all  # type: ignore[method-assign]


class BlockingWorker(HubWorker):
    """The worker of the hub without its loop for responses."""
