"""Requests from the journals of the stand-in services, and what they changed for each person."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Attempts = Mapping[str, tuple[int, str, str]]
"""Key without hyphens → number in order of start, subject, outcome."""

_OPEN = float("inf")


@dataclass(frozen=True, slots=True)
class Request:
    """One request in the journal of a stand-in service. `ended` is infinite while it is open."""

    number: int
    attempt: str
    subject: str
    method: str
    record: str
    key: str | None
    body: Mapping[str, Any]
    started: float
    ended: float
    status: int | None
    is_write: bool
    is_effect: bool

    def __str__(self) -> str:
        return f"{self.method} of {self.subject} ({self.number})"

    @property
    def version(self) -> int | None:
        """Return the version that the driver wrote into the address: 17 for `anna.v17@example.com`."""
        match = re.search(r"\.v(\d+)@", str(self.body.get("email", "")))
        return int(match[1]) if match else None


def read_requests(entries: Iterable[Mapping[str, Any]], attempts: Attempts) -> list[Request]:
    """Read the requests of a journal. A write has an effect if it was applied and its key was not used before."""
    keys: set[str] = set()
    found = []
    for entry in entries:
        key = str(entry["attempt"] or "").replace("-", "")
        about = entry["entity"] or {}
        subject = attempts[key][1] if key in attempts else str(about.get("external_id") or about.get("id"))
        is_effect = bool(entry["write"]) and _is_applied(entry) and entry["key"] not in keys
        if is_effect and entry["key"]:
            keys.add(entry["key"])
        found.append(_request(entry, key, subject, str(about.get("id")), is_effect=is_effect))
    return found


def _request(
    entry: Mapping[str, Any], attempt: str, subject: str, record: str, *, is_effect: bool
) -> Request:
    return Request(
        number=entry["n"],
        attempt=attempt,
        subject=subject,
        method=entry["method"],
        record=record,
        key=entry["key"],
        body=entry["body"] if isinstance(entry["body"], dict) else {},
        started=entry["started"],
        ended=_OPEN if entry["ended"] is None else entry["ended"],
        status=entry["status"],
        is_write=bool(entry["write"]),
        is_effect=is_effect,
    )


def _is_applied(entry: Mapping[str, Any]) -> bool:
    """Return True if the answer was a success, or the fault `after`, which makes the change and then reports a failure."""
    is_success = entry["status"] is not None and 200 <= entry["status"] < 300
    return is_success or "after" in str(entry["fault"] or "")


def effects_by_subject(requests: Iterable[Request]) -> dict[str, list[Request]]:
    """Return subject → its effects in the order in which they were applied."""
    found: defaultdict[str, list[Request]] = defaultdict(list)
    for request in sorted(requests, key=lambda request: request.ended):
        if request.is_effect:
            found[request.subject].append(request)
    return found


def find_version_drops(requests: Iterable[Request]) -> Iterable[str]:
    """Yield each write that replaced a newer version of a person by an older one."""
    for subject, applied in effects_by_subject(requests).items():
        versions = [request.version for request in applied if request.version is not None]
        for before, after in itertools.pairwise(versions):
            if after < before:
                yield f"{subject} went from version {before} to {after}"


def find_repeated_effects(requests: Iterable[Request]) -> Iterable[str]:
    """Yield effects that were redundant: a change that had been made already, or a second record of a person."""
    for applied in effects_by_subject(requests).values():
        known: dict[str, Any] = {}
        live: set[str] = set()
        for request in applied:
            if request.method == "POST" and live:
                yield f"{request} made a second record"
            elif request.method == "DELETE":
                known, live = {}, live - {request.record}
                continue
            elif request.body and all(
                name in known and known[name] == value for name, value in request.body.items()
            ):
                yield f"{request} changed nothing"
            live.add(request.record)
            known.update(request.body)


def find_overlaps(requests: Sequence[Request], attempts: Attempts) -> Iterable[str]:
    """Yield writes that began while another attempt worked on the same person.

    Requests of an attempt whose process died do not overlap with those of a newer attempt.
    """
    work: defaultdict[str, dict[str, list[Request]]] = defaultdict(dict)
    for request in requests:
        work[request.subject].setdefault(request.attempt, []).append(request)
    for by_attempt in work.values():
        spans = {key: _span(found) for key, found in by_attempt.items()}
        for write in (request for found in by_attempt.values() for request in found if request.is_write):
            for other, (first, last) in spans.items():
                if other == write.attempt or _is_left_behind(other, write.attempt, attempts):
                    continue
                if first < write.started < last:
                    yield f"{write} inside of attempt {other}"


def _span(requests: Sequence[Request]) -> tuple[float, float]:
    return min(request.started for request in requests), max(request.ended for request in requests)


def _is_left_behind(other: str, attempt: str, attempts: Attempts) -> bool:
    """Return True if `other` is older than `attempt` and ended because its process died."""
    if other not in attempts or attempt not in attempts:
        return False
    return attempts[other][2] in ("unknown", "interrupted") and attempts[other][0] < attempts[attempt][0]
