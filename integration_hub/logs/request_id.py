"""The id of the request that this thread answers: in its response, its log lines and its audit entries."""

from contextvars import ContextVar
from uuid import uuid4

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")


def new_request_id() -> str:
    """Return a new id. It never comes from the client, who could give many requests one id, or forge another one's."""
    return str(uuid4())
