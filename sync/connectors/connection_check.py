"""Is a connection good? Asked in four steps, each with what was found and the time that it took.

The steps end at the first that fails, and all of them together by one deadline. Nothing that is returned holds a
secret, a query or a part of an answer.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from sync.connectors.client.exchange import Exchange, Outgoing
from sync.connectors.contracts.errors import ConnectorError, CredentialsRefused
from sync.connectors.contracts.types import Testable
from sync.connectors.http.messages import Wire
from sync.connectors.http.probe import Certificate, Unreached, look_up, reach
from sync.connectors.http.urls import parse_base_url
from sync.connectors.registry import SIDES, connect, reach_of
from sync.connectors.settings.authentication import parse_authentication
from sync.connectors.settings.reader import SettingsInvalid

T = TypeVar("T")

Name = Literal["name", "way", "credentials", "read"]
NAMES: tuple[Name, ...] = ("name", "way", "credentials", "read")
MOST_SECONDS = 20.0
_MOST_ADDRESSES = 3
_UNTIMED: Mapping[str, None] = {"shown-by-read": None, "none-needed": None}


class Step(NamedTuple):
    """`code` says in a stable word what was found, or why it failed; `facts` can be written as JSON."""

    name: Name
    is_good: bool | None
    code: str
    seconds: float | None = None
    facts: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Subject:
    """The connection that is asked about: what `registry.connect` takes."""

    connector: str
    base_url: str
    authentication: Mapping[str, Any]
    credentials: Mapping[str, str] = field(repr=False)
    settings: Mapping[str, Any]
    deadline: float
    byte_cap: int
    request_id: str


class _Failed(Exception):
    def __init__(self, code: str, facts: Mapping[str, Any]) -> None:
        super().__init__(code)
        self.code = code
        self.facts = facts


class _Notes:
    """A recorder that keeps the last status, and lets nothing leave once the time is up."""

    def __init__(self, ends_at: float) -> None:
        self._ends_at = ends_at
        self.status: int | None = None

    def about_to_send(self, _: Outgoing) -> None:
        self.status = None
        if time.monotonic() >= self._ends_at:
            raise _Failed("too-slow", {})

    def answered(self, exchange: Exchange) -> None:
        self.status = exchange.status


def check(subject: Subject, most_seconds: float = MOST_SECONDS) -> tuple[Step, ...]:
    """The four steps, in order; those after a failure were not reached. Ends within `most_seconds`."""
    course = _Course(subject, time.monotonic() + most_seconds)
    steps: list[Step] = []
    for name in NAMES:
        is_over = any(each.is_good is False for each in steps)
        steps.append(Step(name, None, "not-reached") if is_over else course.take(name))
    return _told_by_read(steps)


def _told_by_read(steps: list[Step]) -> tuple[Step, ...]:
    """Whether credentials are accepted is often told by the read alone: it was refused because of who we are, it was
    not refused, or nobody knows."""
    *before, credentials, read = steps
    if read.is_good is False and read.code.endswith(f"-{CredentialsRefused.word}"):
        facts = {**credentials.facts, **read.facts}
        failed = Step("credentials", False, read.code, read.seconds, facts)
        return (*before, failed, Step("read", None, "not-reached"))
    if read.is_good is False and credentials.code == "shown-by-read":
        return (*before, Step("credentials", None, "not-known", None, credentials.facts), read)
    return tuple(steps)


class _Course:
    def __init__(self, subject: Subject, ends_at: float) -> None:
        self._subject = subject
        self._ends_at = ends_at
        self._notes = _Notes(ends_at)

    def take(self, name: Name) -> Step:
        started = time.monotonic()
        try:
            code, facts = getattr(self, f"_{name}")()
        except _Failed as failed:
            return Step(name, False, failed.code, time.monotonic() - started, failed.facts)
        except SettingsInvalid as invalid:
            return Step(name, False, "settings-invalid", None, {"sentence": str(invalid)})
        return Step(name, True, code, _UNTIMED.get(code, time.monotonic() - started), facts)

    def _name(self) -> tuple[str, Mapping[str, Any]]:
        found = _reached(lambda: look_up(self._wire()))
        more = len(found) - _MOST_ADDRESSES
        return "name-known", {"addresses": found[:_MOST_ADDRESSES], "more": max(0, more)}

    def _way(self) -> tuple[str, Mapping[str, Any]]:
        found = _reached(lambda: reach(self._wire()))
        return ("way-encrypted", _told(found)) if found else ("way-plain", {})

    def _credentials(self) -> tuple[str, Mapping[str, Any]]:
        scheme = str(self._subject.authentication.get("scheme", "none"))
        seconds = self._asked(lambda: self._connector().prove())
        if seconds is not None:
            return "token-given", {"scheme": scheme, "good_for": round(seconds)}
        return ("none-needed" if scheme == "none" else "shown-by-read"), {"scheme": scheme}

    def _read(self) -> tuple[str, Mapping[str, Any]]:
        found = self._asked(lambda: self._connector().sample())
        return "read", {"call": found.call, "status": self._notes.status, "found": found.found}

    def _left(self) -> float:
        return max(0.05, self._ends_at - time.monotonic())

    def _wire(self) -> Wire:
        subject = self._subject
        base = _base(subject.base_url)
        own = reach_of(subject.connector, subject.settings)
        seconds = min(subject.deadline, self._left() / 2)
        return Wire(base.origin, seconds, subject.byte_cap, own.ca, own.networks)

    def _connector(self) -> Testable:
        subject = self._subject
        parse_authentication(subject.authentication, _base(subject.base_url))
        found: Testable = connect(
            SIDES[subject.connector],
            subject.connector,
            base_url=subject.base_url,
            authentication=subject.authentication,
            credentials=subject.credentials,
            settings=subject.settings,
            deadline=min(subject.deadline, self._left() / 2),
            byte_cap=subject.byte_cap,
            request_id=subject.request_id,
            recorder=self._notes,
        )
        return found

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except ConnectorError as error:
            facts = {"status": self._notes.status, "message": str(error)}
            raise _Failed(error.code, facts) from None


def _reached(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except Unreached as unreached:
        raise _Failed(unreached.code, _told(unreached.certificate)) from None


def _told(certificate: Certificate | None) -> Mapping[str, Any]:
    if certificate is None:
        return {}
    return {"issuer": certificate.issuer, "ends_at": certificate.ends_at.isoformat()}


def _base(base_url: str) -> Any:
    try:
        return parse_base_url(base_url)
    except ValueError as error:
        raise SettingsInvalid("/base_url", str(error)) from None
