"""A broken variant of the hub's worker: it waits for requests without end."""

from integration_hub.web_server import client_connection
from integration_hub.web_server.worker import HubWorker

client_connection.REQUEST_SECONDS = client_connection.GRACE_SECONDS = 3_600.0


class PatientWorker(HubWorker):
    """The worker of the hub without its deadlines."""
