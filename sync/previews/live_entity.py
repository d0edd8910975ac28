"""Fetch one entity now for a person who waits: one read within the limits of its connection, and nothing stored."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.contracts.errors import ConnectorError
from connectors.contracts.types import IdentityConnector
from connectors.values.secret_scrubber import SecretScrubber
from database.connection import release_connection
from sync.attempts.delivery_run import open_connector
from sync.limits.rate_limit import RateLimited
from sync.models import Connection
from sync.previews.attempt_preview import (
    ConnectionPaused,
    PreviewRecorder,
    PreviewTimedOut,
    limit_deadline,
)

DEADLINE_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class LiveEntity:
    """The attributes of an entity as they are now, without the credentials of its connection. Without `attributes`,
    `code` says why; both are empty if the identity service does not have the entity.
    """

    attributes: Mapping[str, Any] | None = None
    code: str = ""


def fetch_live_entity(connection: Connection, entity_type: str, entity_id: str) -> LiveEntity:
    """Fetch an entity of an identity connection, in at most DEADLINE_SECONDS. `entity_type`: as the connection calls
    it. Failures of the system are codes of the result.
    """
    release_connection()
    scrubber = SecretScrubber()
    recorder = PreviewRecorder(connection, time.monotonic() + DEADLINE_SECONDS)
    try:
        connector: IdentityConnector = open_connector(  # type: ignore[assignment]
            limit_deadline(connection), f"sample-{uuid.uuid4()}", recorder, scrubber
        )
        entity = connector.fetch_entity(entity_type, entity_id)
    except ConnectorError as error:
        return LiveEntity(code=error.code)
    except (PreviewTimedOut, RateLimited):
        return LiveEntity(code="preview-late")
    except ConnectionPaused:
        return LiveEntity(code="preview-paused")
    return LiveEntity(None if entity is None else scrubber.scrub_document(dict(entity.attributes)))
