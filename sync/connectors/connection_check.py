"""Check a connection in four steps, each with its result and duration.

The check stops at the first failure and has one deadline for all steps. The results hold no secret, no query
and no part of a response.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from sync.connectors.client.exchange import OutgoingRequest, RecordedExchange
from sync.connectors.contracts.errors import ConnectorError, CredentialsRefused
from sync.connectors.contracts.types import TestableConnector
from sync.connectors.http.connection_probe import (
    ProbeFailed,
    ServerCertificate,
    fetch_certificate,
    resolve_endpoint,
)
from sync.connectors.http.message_types import HttpEndpoint
from sync.connectors.http.urls import parse_base_url
from sync.connectors.registry import CONNECTOR_SIDES, make_connector, read_connection_options
from sync.connectors.settings.authentication import parse_authentication
from sync.connectors.settings.settings_reader import SettingsInvalid

T = TypeVar("T")

StepName = Literal["name", "way", "credentials", "read"]
STEP_NAMES: tuple[StepName, ...] = ("name", "way", "credentials", "read")
MAX_SECONDS = 20.0
_MAX_ADDRESSES = 3
# These steps make no request, so they have no duration.
_UNTIMED_CODES: Mapping[str, None] = {"shown-by-read": None, "none-needed": None}


class CheckStep(NamedTuple):
    """Result of one step. `code` is the machine word of the result or of the failure; `facts` is
    JSON-serializable.
    """

    name: StepName
    is_good: bool | None
    code: str
    seconds: float | None = None
    facts: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class CheckedConnection:
    """Arguments of `registry.make_connector` for the connection to check."""

    connector: str
    base_url: str
    authentication: Mapping[str, Any]
    credentials: Mapping[str, str] = field(repr=False)
    settings: Mapping[str, Any]
    deadline: float
    byte_cap: int
    request_id: str


class _StepFailed(Exception):
    def __init__(self, code: str, facts: Mapping[str, Any]) -> None:
        super().__init__(code)
        self.code = code
        self.facts = facts


class _CheckRecorder:
    """Recorder that keeps the last status and stops requests after the deadline."""

    def __init__(self, ends_at: float) -> None:
        self._ends_at = ends_at
        self.status: int | None = None

    def record_request(self, _: OutgoingRequest) -> None:
        self.status = None
        if time.monotonic() >= self._ends_at:
            raise _StepFailed("too-slow", {})

    def record_exchange(self, exchange: RecordedExchange) -> None:
        self.status = exchange.status


def check_connection(checked: CheckedConnection, max_seconds: float = MAX_SECONDS) -> tuple[CheckStep, ...]:
    """Run the four steps in order, within `max_seconds`. Steps after a failure have the code `not-reached`."""
    course = _ConnectionCheck(checked, time.monotonic() + max_seconds)
    steps: list[CheckStep] = []
    for name in STEP_NAMES:
        is_over = any(step.is_good is False for step in steps)
        steps.append(CheckStep(name, None, "not-reached") if is_over else course.run_step(name))
    return _infer_credentials_result(steps)


def _infer_credentials_result(steps: list[CheckStep]) -> tuple[CheckStep, ...]:
    """Derive the result of the credentials step from the sample read where the credentials alone show
    nothing.
    """
    *before, credentials, read = steps
    if read.is_good is False and read.code.endswith(f"-{CredentialsRefused.code_suffix}"):
        facts = {**credentials.facts, **read.facts}
        failed = CheckStep("credentials", False, read.code, read.seconds, facts)
        return (*before, failed, CheckStep("read", None, "not-reached"))
    if read.is_good is False and credentials.code == "shown-by-read":
        return (*before, CheckStep("credentials", None, "not-known", None, credentials.facts), read)
    return tuple(steps)


class _ConnectionCheck:
    def __init__(self, subject: CheckedConnection, ends_at: float) -> None:
        self._subject = subject
        self._ends_at = ends_at
        self._notes = _CheckRecorder(ends_at)

    def run_step(self, name: StepName) -> CheckStep:
        started = time.monotonic()
        try:
            code, facts = getattr(self, f"_check_{name}")()
        except _StepFailed as failed:
            return CheckStep(name, False, failed.code, time.monotonic() - started, failed.facts)
        except SettingsInvalid as invalid:
            return CheckStep(name, False, "settings-invalid", None, {"sentence": str(invalid)})
        return CheckStep(name, True, code, _UNTIMED_CODES.get(code, time.monotonic() - started), facts)

    def _check_name(self) -> tuple[str, Mapping[str, Any]]:
        addresses = _probe_endpoint(lambda: resolve_endpoint(self._endpoint()))
        more = len(addresses) - _MAX_ADDRESSES
        return "name-known", {"addresses": addresses[:_MAX_ADDRESSES], "more": max(0, more)}

    def _check_way(self) -> tuple[str, Mapping[str, Any]]:
        certificate = _probe_endpoint(lambda: fetch_certificate(self._endpoint()))
        return ("way-encrypted", _certificate_facts(certificate)) if certificate else ("way-plain", {})

    def _check_credentials(self) -> tuple[str, Mapping[str, Any]]:
        scheme = str(self._subject.authentication.get("scheme", "none"))
        seconds = self._call_connector(lambda: self._make_connector().renew_credentials())
        if seconds is not None:
            return "token-given", {"scheme": scheme, "good_for": round(seconds)}
        return ("none-needed" if scheme == "none" else "shown-by-read"), {"scheme": scheme}

    def _check_read(self) -> tuple[str, Mapping[str, Any]]:
        sample = self._call_connector(lambda: self._make_connector().read_sample())
        return "read", {
            "call": sample.request_label,
            "status": self._notes.status,
            "found": sample.item_count,
        }

    def _seconds_left(self) -> float:
        return max(0.05, self._ends_at - time.monotonic())

    def _endpoint(self) -> HttpEndpoint:
        subject = self._subject
        base = _parse_base(subject.base_url)
        own = read_connection_options(subject.connector, subject.settings)
        # Half of the time left, since a certificate that is not trusted takes a second connection.
        seconds = min(subject.deadline, self._seconds_left() / 2)
        return HttpEndpoint(base.origin, seconds, subject.byte_cap, own.ca_certificates, own.allowed_networks)

    def _make_connector(self) -> TestableConnector:
        subject = self._subject
        parse_authentication(subject.authentication, _parse_base(subject.base_url))
        connector: TestableConnector = make_connector(
            CONNECTOR_SIDES[subject.connector],
            subject.connector,
            base_url=subject.base_url,
            authentication=subject.authentication,
            credentials=subject.credentials,
            settings=subject.settings,
            # Half of the time left, since a token request may precede the read.
            deadline=min(subject.deadline, self._seconds_left() / 2),
            byte_cap=subject.byte_cap,
            request_id=subject.request_id,
            recorder=self._notes,
        )
        return connector

    def _call_connector(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except ConnectorError as error:
            facts = {"status": self._notes.status, "message": str(error)}
            raise _StepFailed(error.code, facts) from None


def _probe_endpoint(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except ProbeFailed as unreached:
        raise _StepFailed(unreached.code, _certificate_facts(unreached.certificate)) from None


def _certificate_facts(certificate: ServerCertificate | None) -> Mapping[str, Any]:
    if certificate is None:
        return {}
    return {"issuer": certificate.issuer, "ends_at": certificate.expires_at.isoformat()}


def _parse_base(base_url: str) -> Any:
    try:
        return parse_base_url(base_url)
    except ValueError as error:
        raise SettingsInvalid("/base_url", str(error)) from None
