"""The requests of one attempt: fetched at the identity service, looked up and written at the commercial system."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from integration_hub.devtools.sample_history import payload_samples
from integration_hub.devtools.sample_history.bulk_insert import Table, moment
from integration_hub.devtools.sample_history.scenarios import Try
from sync.models import Connection, Route
from webhooks.catalogue.codes import CATALOGUE

_STATUS = {"unavailable": 503, "timeout": None, "throttled": 429, "credentials": 401, "rejected": 422}
_PATHS = {"USER": ("users", "customers"), "GROUP": ("groups", "segments"), "FILE": ("files", "documents")}
_WITHOUT_WRITE = frozenset({"unchanged", "held", "superseded", "unmappable", "no-match", "ambiguous-match"})


@dataclass(frozen=True, slots=True)
class Told:
    """What an attempt found and was answered."""

    change: payload_samples.Document
    refusal: payload_samples.Document | None = None


class Calls:
    """Adds the calls of attempts to their table."""

    def __init__(self, table: Table, payload: Callable[[str, bytes, float], int], chance: Random) -> None:
        self._table, self._payload, self._chance = table, payload, chance

    def of(self, attempt: int, route: Route, who: str, began: float, each: Try, told: Told | None) -> None:
        """Up to three, one after the other; the one that failed is the last."""
        entities, records = _PATHS.get(route.entity_type, ("entities", "records"))
        steps = [("fetch", "GET", f"/api/{entities}/{{id}}", route.identity)]
        steps += [("search", "GET", f"/api/{records}", route.commercial)]
        steps += [("update", "PATCH", f"/api/{records}/{{id}}", route.commercial)]
        count = 1 if each.code.startswith("identity-") else 2 if each.code in _WITHOUT_WRITE else 3
        share = each.took * 0.9 / count
        for place, (purpose, method, path, connection) in enumerate(steps[:count], 1):
            failed = each.code if place == count and CATALOGUE[each.code].status >= 400 and count != 2 else ""
            self._table.add(
                attempt_id=attempt,
                connection_id=connection.pk,
                purpose=purpose,
                is_write=method != "GET",
                method=method,
                path=path,
                started_at=moment(began + share * (place - 1) + 0.004),
                seconds=round(share * (0.75 + 0.2 * self._chance.random()), 6),
                status=_STATUS.get(failed.partition("-")[2], 422) if failed else 200,
                error=failed,
                sent_bytes=240 + 120 * (method == "PATCH"),
                received_bytes=0 if failed.endswith("timeout") else 400,
                **self._contents(purpose, path, connection, who, began, told),
            )

    def _contents(
        self, purpose: str, path: str, connection: Connection, who: str, at: float, told: Told | None
    ) -> dict[str, Any]:
        """The keys of what was sent and answered."""
        if told is None:
            return {}
        url = connection.base_url.rstrip("/") + path.replace("{id}", who)
        if purpose == "update":
            body = {each["name"]: each["after"] for each in told.change["fields"]}
            request = json.dumps(payload_samples.sent(url, body)).encode()
            response = json.dumps(
                payload_samples.answered(told.refusal or told.change["same"] | body)
            ).encode()
            return {
                "request_id": self._payload("request", request, at),
                "response_id": self._payload("response", response, at),
            }
        found = payload_samples.answered(told.change["same"], payload_samples.sent(url, None))
        return {"response_id": self._payload("response", json.dumps(found).encode(), at)}
