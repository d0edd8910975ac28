"""Faults on demand: their settings, the requests that they affect, and their descriptions.

Each kind is one part that a service can play: it responds late, refuses, hides, or stores other values than were sent.
"""

import dataclasses
import random
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import count
from typing import Any

from sandbox.faults.alterations import ALTERATIONS, STORED_FORMS
from sandbox.faults.echoes import ENCODINGS
from sandbox.http.messages import HttpError, Request

FAULT_KINDS = {
    "slow": "responds late",
    "error": "responds with a server error",
    "throttle": "responds with 429 Too Many Requests",
    "refuse": "rejects the change",
    "drop": "closes the connection without a response",
    "garbage": "responds with 200 and a page that is not JSON",
    "hang": "does not respond at all",
    "after": "applies the change, then responds with a server error",
    "drip": "sends its response one byte at a time",
    "late": "applies each change late, also if the client has given up",
    "hide": "responds with 404 to every request",
    "forbid": "responds with 403 where a record is absent",
    "alter": "stores another value than it was sent",
    "numeric": "has numbers as ids",
    "unfiltered": "ignores search filters and returns all records",
    "unverified": "gives no address as verified",
    "echo": "repeats the request, with its credentials, in its response",
}
DELAYS = frozenset({"slow", "late"})
COMBINED = DELAYS | ALTERATIONS
"""The kinds of which any number affects one request. Of the others, which replace the response, one does."""

_DEFAULT_SECONDS = {"slow": 5.0, "hang": 60.0, "drip": 0.5, "late": 30.0}
_DEFAULT_STATUS = {"error": 500, "after": 500, "throttle": 429, "refuse": 422, "hide": 404, "echo": 422}
_WRITE_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_DEFAULT_METHODS = {
    "refuse": _WRITE_METHODS,
    "late": _WRITE_METHODS,
    "alter": _WRITE_METHODS,
    "unfiltered": ("GET",),
}
_MAX_SECONDS = 600.0


@dataclass(slots=True)
class Fault:
    """A fault that a service simulates.

    ``methods``: None for all (of ``refuse``, ``late`` and ``alter``: all write methods; of ``unfiltered``: GET).
    ``stores``: the form in which ``alter`` stores ``field``, one of ``STORED_FORMS``. ``encoding``: the one of
    ``ENCODINGS`` in which ``echo`` repeats the request: in an error after ``sentence``, or if ``applied`` in the field
    ``echo`` of the regular response. ``path``: a regular expression that the beginning of the path must match; None
    for all paths but the token endpoint and ``/api/notify``. ``times``: the number of requests that are still to be
    affected; None until the fault is cleared. ``applied``: the request is executed before the fault; otherwise it
    is not executed at all (of ``slow``, ``late`` and ``drip``: executed after the delay; of ``ALTERATIONS``:
    executed, altered). ``cleared`` is set to release the requests that the fault delays.
    """

    id: int
    kind: str
    seconds: float
    status: int
    retry_after: int | None
    sentence: str | None
    field: str | None
    stores: str | None
    encoding: str | None
    methods: tuple[str, ...] | None
    path: str | None
    times: int | None
    probability: float
    applied: bool
    cleared: threading.Event = dataclasses.field(default_factory=threading.Event)

    def matches_request(self, request: Request) -> bool:
        """True if the fault's methods and path match a request."""
        if self.methods is not None and request.method not in self.methods:
            return False
        if self.path is None:
            return not request.path.startswith(("/oauth/", "/api/notify"))
        return re.match(self.path, request.path) is not None

    def as_json(self) -> dict[str, Any]:
        """Return the settings and the description of the fault."""
        return {name: getattr(self, name) for name in FAULT_SETTINGS} | {"description": self.description}

    @property
    def description(self) -> str:
        """The end of a sentence that begins with the service's name."""
        words = FAULT_KINDS[self.kind]
        if self.stores:
            words = f"stores {self.field} {STORED_FORMS[self.stores]}"
        elif self.kind in _DEFAULT_SECONDS:
            words += f" ({self.seconds:g} s)"
        elif self.kind in {"error", "after"}:
            words += f" ({self.status})"
        elif self.encoding:
            words += f" ({self.encoding})"
        if self.sentence:
            words += f": “{self.sentence}”"
        if self.times is not None:
            words += f", {self.times} more time{'' if self.times == 1 else 's'}"
        return words


FAULT_SETTINGS = tuple(field.name for field in fields(Fault) if field.name != "cleared")


class FaultSwitches:
    """The faults of a service that are active. Thread-safe."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()

    def add(self, kind: str, **settings: Any) -> Fault:
        """Activate a fault and return it. The settings are those of ``POST /_sandbox/faults``.

        Raises HttpError (400) for an invalid setting.
        """
        return self.add_from_json({"kind": kind, **settings})

    def add_from_json(self, settings: Mapping[str, object]) -> Fault:
        """Activate a fault and return it. Raises HttpError (400) for an invalid setting."""
        fault = _parse_fault(next(self._numbers), settings)
        with self._lock:
            self._faults[fault.id] = fault
        return fault

    def has_active(self, kind: str) -> bool:
        """True if a fault of this kind is active, whichever requests it affects."""
        return any(fault.kind == kind for fault in self.list_active())

    def list_active(self) -> list[Fault]:
        """Return the faults that can affect further requests."""
        with self._lock:
            return [fault for fault in self._faults.values() if fault.times != 0]

    def clear(self, number: int | None = None) -> int:
        """End one fault, or all, and release the requests that it delays.

        Returns the number of faults that could still affect requests.
        """
        with self._lock:
            numbers = list(self._faults) if number is None else [number]
            ended = [self._faults.pop(number) for number in numbers if number in self._faults]
        for fault in ended:
            fault.cleared.set()
        return sum(fault.times != 0 for fault in ended)

    def take_matching(self, request: Request) -> list[Fault]:
        """Return the faults for a request: all of COMBINED kinds, and at most one other. Counts each as used once."""
        matching: list[Fault] = []
        with self._lock:
            for fault in self._faults.values():
                if fault.times == 0 or not fault.matches_request(request):
                    continue
                if fault.kind not in COMBINED and any(taken.kind not in COMBINED for taken in matching):
                    continue
                if random.random() < fault.probability:
                    matching.append(fault)
                    if fault.times is not None:
                        fault.times -= 1
        return matching


def _parse_fault(number: int, settings: Mapping[str, object]) -> Fault:
    kind = settings.get("kind")
    if not isinstance(kind, str) or kind not in FAULT_KINDS:
        raise HttpError(400, f"kind must be one of {', '.join(FAULT_KINDS)}.")
    unknown = set(settings) - (set(FAULT_SETTINGS) - {"id"})
    if unknown:
        raise HttpError(400, f"A fault has no setting {', '.join(sorted(unknown))}.")
    retry_after = _parse_number(settings, "retry_after", 1 if kind == "throttle" else None, 0, 86_400)
    times = _parse_number(settings, "times", None, 1, 1_000_000)
    return Fault(
        id=number,
        kind=kind,
        seconds=_parse_number(settings, "seconds", _DEFAULT_SECONDS.get(kind, 0.0), 0, _MAX_SECONDS) or 0.0,
        status=int(_parse_number(settings, "status", _DEFAULT_STATUS.get(kind, 500), 400, 599) or 500),
        retry_after=None if retry_after is None else int(retry_after),
        sentence=_parse_text(settings, "sentence"),
        field=_parse_text(settings, "field"),
        stores=_parse_stored_form(settings, kind),
        encoding=_parse_encoding(settings, kind),
        methods=_parse_methods(settings, _DEFAULT_METHODS.get(kind)),
        path=_parse_path(settings),
        times=None if times is None else int(times),
        probability=float(
            1.0 if (chance := _parse_number(settings, "probability", 1.0, 0, 1)) is None else chance
        ),
        applied=settings.get("applied") is True or kind == "after",
    )


def _parse_number(
    settings: Mapping[str, object], name: str, default: float | None, lowest: float, highest: float
) -> float | None:
    value = settings.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        raise HttpError(400, f"{name} must be a number from {lowest:g} to {highest:g}.")
    return value


def _parse_text(settings: Mapping[str, object], name: str) -> str | None:
    value = settings.get(name)
    if value is not None and not isinstance(value, str):
        raise HttpError(400, f"{name} must be a text.")
    return value or None


def _parse_stored_form(settings: Mapping[str, object], kind: str) -> str | None:
    """Return the form in which `alter` stores its field; None for other kinds."""
    form = _parse_text(settings, "stores")
    if kind != "alter":
        if form is not None:
            raise HttpError(400, f"{kind} stores no field.")
        return None
    if _parse_text(settings, "field") is None or form not in STORED_FORMS:
        raise HttpError(400, f"alter needs a field, and stores as one of {', '.join(STORED_FORMS)}.")
    return form


def _parse_encoding(settings: Mapping[str, object], kind: str) -> str | None:
    """Return the encoding of `echo`; None for other kinds."""
    encoding = _parse_text(settings, "encoding")
    if kind != "echo":
        if encoding is not None:
            raise HttpError(400, f"{kind} has no encoding.")
        return None
    if encoding is not None and encoding not in ENCODINGS:
        raise HttpError(400, f"encoding must be one of {', '.join(ENCODINGS)}.")
    return encoding or "plain"


def _parse_methods(settings: Mapping[str, object], default: tuple[str, ...] | None) -> tuple[str, ...] | None:
    value = settings.get("methods")
    if value is None:
        return default
    if not isinstance(value, list | tuple) or not all(isinstance(method, str) for method in value):
        raise HttpError(400, "methods must be a list of texts.")
    return tuple(method.upper() for method in value)


def _parse_path(settings: Mapping[str, object]) -> str | None:
    path = _parse_text(settings, "path")
    try:
        re.compile(path or "")
    except re.error:
        raise HttpError(400, "path must be a regular expression.") from None
    return path
