"""The calls of an attempt: fetch from the identity service, search and update in the target system."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from config_schema.codes.codes import CATALOGUE
from devtools.sample_history import payload_samples
from devtools.sample_history.bulk_insert import BulkTable, format_time
from devtools.sample_history.scenarios import ScenarioAttempt
from sync.models import Connection, Route

_STATUS = {"unavailable": 503, "timeout": None, "throttled": 429, "credentials": 401, "rejected": 422}
_PATHS = {"USER": ("users", "customers"), "GROUP": ("groups", "segments"), "FILE": ("files", "documents")}
_WITHOUT_WRITE = frozenset({"unchanged", "held", "superseded", "unmappable", "no-match", "ambiguous-match"})

# Purpose, method, path and connection of a call.
_Step = tuple[str, str, str, Connection]


@dataclass(frozen=True, slots=True)
class AttemptContents:
    """The stored contents of an attempt: its change, and the target's refusal if there was one."""

    change: payload_samples.Document
    refusal: payload_samples.Document | None = None


class CallRows:
    """The rows of calls, added to their table attempt by attempt."""

    def __init__(
        self, table: BulkTable, add_payload: Callable[[str, bytes, float], int], rng: Random
    ) -> None:
        self._table, self._add_payload, self._rng = table, add_payload, rng

    def add_calls(
        self,
        attempt_id: int,
        route: Route,
        entity_id: str,
        started: float,
        attempt: ScenarioAttempt,
        contents: AttemptContents | None,
    ) -> None:
        """Add the calls of an attempt: up to three, one after the other. A failed call is the last one."""
        entities, records = _PATHS.get(route.entity_type, ("entities", "records"))
        steps = [("fetch", "GET", f"/api/{entities}/{{id}}", route.identity)]
        steps += [("search", "GET", f"/api/{records}", route.target)]
        steps += [("update", "PATCH", f"/api/{records}/{{id}}", route.target)]
        count = _count_calls(attempt.code)
        columns = self._add_payloads(steps[:count], entity_id, started, contents)
        seconds_per_call = attempt.duration * 0.9 / count
        for position, (purpose, method, path, connection) in enumerate(steps[:count], 1):
            error_code = (
                attempt.code
                if position == count and CATALOGUE[attempt.code].status >= 400 and count != 2
                else ""
            )
            self._table.add_row(
                attempt_id=attempt_id,
                connection_id=connection.pk,
                purpose=purpose,
                is_write=method != "GET",
                method=method,
                path=path,
                started_at=format_time(started + seconds_per_call * (position - 1) + 0.004),
                seconds=round(seconds_per_call * (0.75 + 0.2 * self._rng.random()), 6),
                status=_STATUS.get(error_code.partition("-")[2], 422) if error_code else 200,
                error=error_code,
                sent_bytes=240 + 120 * (method == "PATCH"),
                received_bytes=0 if error_code.endswith("timeout") else 400,
                **columns[position - 1],
            )

    def _add_payloads(
        self, steps: list[_Step], entity_id: str, at: float, contents: AttemptContents | None
    ) -> list[dict[str, Any]]:
        """Store the requests and responses of an attempt. Returns the columns of each call that refer to them."""
        if contents is None:
            return [{}] * len(steps)
        columns: list[dict[str, Any]] = []
        responses = []
        for part, (purpose, _, path, connection) in enumerate(steps):
            url = connection.base_url.rstrip("/") + path.replace("{id}", entity_id)
            columns.append({"response_part": part})
            if purpose == "update":
                body = {field["name"]: field["after"] for field in contents.change["fields"]}
                request = json.dumps(payload_samples.build_request(url, body)).encode()
                columns[part]["request_id"] = self._add_payload("request", request, at)
                responses.append(
                    payload_samples.build_response(contents.refusal or contents.change["same"] | body)
                )
            else:
                request_document = payload_samples.build_request(url, None)
                responses.append(payload_samples.build_response(contents.change["same"], request_document))
        shared = self._add_payload("response", json.dumps(responses).encode(), at)
        return [column | {"response_id": shared} for column in columns]


def _count_calls(code: str) -> int:
    """Return the number of calls of an attempt that ended with this code."""
    if code.startswith("identity-"):
        return 1
    return 2 if code in _WITHOUT_WRITE else 3
