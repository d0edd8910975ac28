"""Connectors to test servers, each with a recorder in memory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.contracts.types import IdentityConnector, TargetConnector
from connectors.exchange import OutgoingRequest, RecordedExchange
from connectors.presets import load_preset
from connectors.registry import make_connector
from connectors.settings.operations.record_operations import Operations

# Seconds. Long, because a busy machine may stop this process, which is the server as well, for a second.
DEADLINE = 60.0
_OPERATIONS = {one.name for one in Operations.kind.settings}
# For tests that wait until the deadline has passed.
SHORT_DEADLINE = 0.5


@dataclass
class MemoryRecorder:
    """A recorder that keeps requests and exchanges in memory."""

    sent: list[OutgoingRequest] = field(default_factory=list)
    exchanges: list[RecordedExchange] = field(default_factory=list)

    def record_request(self, request: OutgoingRequest) -> None:
        self.sent.append(request)

    def check_before_sending(self, request: OutgoingRequest) -> None:
        """Allow every request."""

    def record_exchange(self, exchange: RecordedExchange) -> None:
        self.exchanges.append(exchange)


def identity(url: str, notebook: MemoryRecorder | None = None, **over: Any) -> IdentityConnector:
    """Return an identity connector to a test server."""
    return make_connector("identity", "rest-identity", **_arguments(url, notebook, "sandbox-identity", over))


def shop(url: str, notebook: MemoryRecorder | None = None, **over: Any) -> TargetConnector:
    """Return a target connector to a test server."""
    return make_connector("target", "rest-target", **_arguments(url, notebook, "sandbox-shop", over))


def read_list(
    connector: Any, entity_type: str = "USER", *, max_pages: int = 100, **options: Any
) -> list[Any]:
    """Return the entities or records of a list. Each position goes through JSON, as it does when it is stored."""
    read = (
        connector.read_entity_page if hasattr(connector, "read_entity_page") else connector.read_record_page
    )
    items: list[Any] = []
    position: Any = None
    for _ in range(max_pages):
        page = read(entity_type, position, **options)
        items += page[0]
        if page.next is None:
            return items
        position = json.loads(json.dumps(page.next))
    return items


def shop_settings(**user: Any) -> dict[str, Any]:
    """Return the shop's settings with operations and other settings of the USER entity replaced."""
    settings: dict[str, Any] = load_preset("sandbox-shop")["settings"]
    users = settings["entities"]["USER"]
    for name, value in user.items():
        (users["operations"] if name in _OPERATIONS else users)[name] = value
    return settings


def make_operations(path: str = "/c", **operations: Any) -> dict[str, Any]:
    """Return settings of an entity type of a REST API at a path, with operations replaced or added."""
    item = {"path": f"{path}/{{id}}"}
    usual = {"get": item, "create": {"path": path}, "update": item, "delete": item}
    return {"operations": usual | operations}


# A PUT of the whole record.
PUT_CUSTOMER = {"method": "PUT", "path": "/api/customers/{id}", "style": "replace"}


def _arguments(
    url: str, notebook: MemoryRecorder | None, name: str, over: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "base_url": url,
        "authentication": {"scheme": "bearer"},
        "credentials": {"token": "s3cret-token"},
        "settings": load_preset(name)["settings"],
        "deadline": DEADLINE,
        "request_id": "attempt-1",
        "recorder": notebook or MemoryRecorder(),
        **over,
    }
