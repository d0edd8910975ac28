"""The doubles' journals, read as what happened to each person: spans, versions, effects."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Attempts = Mapping[str, tuple[int, str, str]]
"""Key without hyphens → number in order of their start, subject, outcome."""

_OPEN = float("inf")


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a double kept it. `ended` is infinite while it is under way."""

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
        """What the driver wrote into the address: `anna.v17@example.com` is 17."""
        found = re.search(r"\.v(\d+)@", str(self.body.get("email", "")))
        return int(found[1]) if found else None


def read_requests(entries: Iterable[Mapping[str, Any]], attempts: Attempts) -> list[Request]:
    """The journal's requests; a write had an effect where it was applied, and not for a key that was known."""
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
    """Answered well, or by the fault that makes the change and then says that it failed."""
    is_well = entry["status"] is not None and 200 <= entry["status"] < 300
    return is_well or "after" in str(entry["fault"] or "")


def effects(requests: Iterable[Request]) -> dict[str, list[Request]]:
    """Subject → its effects in the order in which they were applied."""
    found: defaultdict[str, list[Request]] = defaultdict(list)
    for each in sorted(requests, key=lambda request: request.ended):
        if each.is_effect:
            found[each.subject].append(each)
    return found


def falls(requests: Iterable[Request]) -> Iterable[str]:
    """Places where the version that was applied to a person went down."""
    for subject, applied in effects(requests).items():
        versions = [each.version for each in applied if each.version is not None]
        for before, after in itertools.pairwise(versions):
            if after < before:
                yield f"{subject} went from version {before} to {after}"


def doubled(requests: Iterable[Request]) -> Iterable[str]:
    """Effects that changed nothing more: the change was made already, or the person has a record already."""
    for applied in effects(requests).values():
        known: dict[str, Any] = {}
        live: set[str] = set()
        for each in applied:
            if each.method == "POST" and live:
                yield f"{each} made a second record"
            elif each.method == "DELETE":
                known, live = {}, live - {each.record}
                continue
            elif each.body and all(
                name in known and known[name] == value for name, value in each.body.items()
            ):
                yield f"{each} changed nothing"
            live.add(each.record)
            known.update(each.body)


def overlaps(requests: Sequence[Request], attempts: Attempts) -> Iterable[str]:
    """Writes that began while another attempt was at work on the same person.

    What an attempt of a process that died had sent already is no overlap with the newer attempt after it.
    """
    work: defaultdict[str, dict[str, list[Request]]] = defaultdict(dict)
    for each in requests:
        work[each.subject].setdefault(each.attempt, []).append(each)
    for by_attempt in work.values():
        spans = {key: _span(found) for key, found in by_attempt.items()}
        for write in (each for found in by_attempt.values() for each in found if each.is_write):
            for other, (first, last) in spans.items():
                if other == write.attempt or _is_left_behind(other, write.attempt, attempts):
                    continue
                if first < write.started < last:
                    yield f"{write} inside of attempt {other}"


def _span(requests: Sequence[Request]) -> tuple[float, float]:
    return min(each.started for each in requests), max(each.ended for each in requests)


def _is_left_behind(other: str, attempt: str, attempts: Attempts) -> bool:
    """Whether `other` is older than `attempt` and ended with its process."""
    if other not in attempts or attempt not in attempts:
        return False
    return attempts[other][2] == "unknown" and attempts[other][0] < attempts[attempt][0]
