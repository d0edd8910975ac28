"""Faults on demand: which requests they strike, and how they are described to people."""

import dataclasses
import random
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import count
from typing import Any

from sandbox.http.messages import Problem, Request

KINDS = {
    "slow": "responds late",
    "error": "responds with a server error",
    "throttle": "responds with 429 Too Many Requests",
    "refuse": "rejects the change",
    "drop": "closes the connection without a response",
    "garbage": "responds with 200 and a page that is not JSON",
    "hang": "does not respond at all",
    "after": "applies the change, then responds with a server error",
    "drip": "sends its response one byte at a time",
}
_SECONDS = {"slow": 5.0, "hang": 60.0, "drip": 0.5}
_STATUS = {"error": 500, "after": 500, "throttle": 429, "refuse": 422}
_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_LONGEST = 600.0


@dataclass(slots=True)
class Fault:
    """One way to misbehave.

    ``methods`` None: any (of ``refuse``: the writes). ``path``: a regular expression matched from the start
    of the path, so a prefix will do; None: any but the token endpoint and ``/api/notify``. ``times`` None:
    until cleared. ``applied``: the change is made before the fault strikes; otherwise it is not made at all
    (of ``slow`` and ``drip``: made after the delay). ``cleared`` ends the waiting of requests that the
    fault holds.
    """

    id: int
    kind: str
    seconds: float
    status: int
    retry_after: int | None
    sentence: str | None
    field: str | None
    methods: tuple[str, ...] | None
    path: str | None
    times: int | None
    probability: float
    applied: bool
    cleared: threading.Event = dataclasses.field(default_factory=threading.Event)

    def strikes(self, request: Request) -> bool:
        if self.methods is not None and request.method not in self.methods:
            return False
        if self.path is None:
            return not request.path.startswith(("/oauth/", "/api/notify"))
        return re.match(self.path, request.path) is not None

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SETTINGS} | {"description": self.description}

    @property
    def description(self) -> str:
        """A part of a sentence that begins with the service's name."""
        words = KINDS[self.kind]
        if self.kind in _SECONDS:
            words += f" ({self.seconds:g} s)"
        elif self.kind in {"error", "after"}:
            words += f" ({self.status})"
        if self.sentence:
            words += f": “{self.sentence}”"
        if self.times is not None:
            words += f", {self.times} more time{'' if self.times == 1 else 's'}"
        return words


SETTINGS = tuple(each.name for each in fields(Fault) if each.name != "cleared")


class Faults:
    """The faults that are on. Safe from any thread."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()

    def add(self, kind: str, **settings: Any) -> Fault:
        """Switches a fault on; the settings are those of ``POST /_sandbox/faults``.

        Raises Problem (400) for a setting that makes no sense.
        """
        return self.add_json({"kind": kind, **settings})

    def add_json(self, settings: Mapping[str, object]) -> Fault:
        fault = _parse(next(self._numbers), settings)
        with self._lock:
            self._faults[fault.id] = fault
        return fault

    def active(self) -> list[Fault]:
        with self._lock:
            return [fault for fault in self._faults.values() if fault.times != 0]

    def clear(self, number: int | None = None) -> int:
        """Switches one fault, or every one, off and lets go the requests that it holds.

        Says how many were on.
        """
        with self._lock:
            numbers = list(self._faults) if number is None else [number]
            ended = [self._faults.pop(each) for each in numbers if each in self._faults]
        for fault in ended:
            fault.cleared.set()
        return sum(fault.times != 0 for fault in ended)

    def strike(self, request: Request) -> list[Fault]:
        """The faults that this request meets, each counted as used once: the slow ones and at most one
        other.
        """
        met: list[Fault] = []
        with self._lock:
            for fault in self._faults.values():
                if fault.times == 0 or not fault.strikes(request):
                    continue
                if fault.kind != "slow" and any(each.kind != "slow" for each in met):
                    continue
                if random.random() < fault.probability:
                    met.append(fault)
                    if fault.times is not None:
                        fault.times -= 1
        return met


def _parse(number: int, settings: Mapping[str, object]) -> Fault:
    kind = settings.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise Problem(400, f"kind must be one of {', '.join(KINDS)}.")
    unknown = set(settings) - (set(SETTINGS) - {"id"})
    if unknown:
        raise Problem(400, f"A fault has no setting {', '.join(sorted(unknown))}.")
    retry_after = _number(settings, "retry_after", 1 if kind == "throttle" else None, 0, 86_400)
    times = _number(settings, "times", None, 1, 1_000_000)
    return Fault(
        id=number,
        kind=kind,
        seconds=_number(settings, "seconds", _SECONDS.get(kind, 0.0), 0, _LONGEST) or 0.0,
        status=int(_number(settings, "status", _STATUS.get(kind, 500), 400, 599) or 500),
        retry_after=None if retry_after is None else int(retry_after),
        sentence=_text(settings, "sentence"),
        field=_text(settings, "field"),
        methods=_methods(settings, _WRITES if kind == "refuse" else None),
        path=_pattern(settings),
        times=None if times is None else int(times),
        probability=float(1.0 if (chance := _number(settings, "probability", 1.0, 0, 1)) is None else chance),
        applied=settings.get("applied") is True or kind == "after",
    )


def _number(
    settings: Mapping[str, object], name: str, default: float | None, lowest: float, highest: float
) -> float | None:
    value = settings.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        raise Problem(400, f"{name} must be a number from {lowest:g} to {highest:g}.")
    return value


def _text(settings: Mapping[str, object], name: str) -> str | None:
    value = settings.get(name)
    if value is not None and not isinstance(value, str):
        raise Problem(400, f"{name} must be a text.")
    return value or None


def _methods(settings: Mapping[str, object], default: tuple[str, ...] | None) -> tuple[str, ...] | None:
    value = settings.get("methods")
    if value is None:
        return default
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise Problem(400, "methods must be a list of texts.")
    return tuple(each.upper() for each in value)


def _pattern(settings: Mapping[str, object]) -> str | None:
    path = _text(settings, "path")
    try:
        re.compile(path or "")
    except re.error:
        raise Problem(400, "path must be a regular expression.") from None
    return path
