"""Check a connection in five steps, each with its result and duration, and change nothing in the remote system.

The check stops at the first failure, unless it is about what was read, and has one deadline for all steps. The results
hold no secret, no query and no part of a response.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

from config_schema.errors import SettingsInvalid
from connectors.access_proof import is_any_readable
from connectors.contracts.errors import HUB_EXHAUSTED_CODE, ConnectorError, CredentialsRefused
from connectors.contracts.permissions import PermissionAnswer, PermissionFinding
from connectors.contracts.types import MAX_PROOF_READS, TestableConnector
from connectors.exchange import OutgoingRequest, RecordedExchange
from connectors.http.client_certificates import EXPIRY_WARNING, CertificateFacts
from connectors.http.connection_probe import (
    ProbeFailed,
    ServerCertificate,
    fetch_certificate,
    resolve_endpoint,
)
from connectors.http.message_types import HttpEndpoint
from connectors.http.resource_shortage import is_resource_shortage
from connectors.registry import (
    CONNECTOR_SIDES,
    find_client_certificate,
    make_connector,
    read_base_url,
    read_connection_options,
)
from connectors.settings.authentication import parse_authentication

T = TypeVar("T")

StepName = Literal["name", "transport", "credentials", "read", "permissions"]
STEP_NAMES: tuple[StepName, ...] = ("name", "transport", "credentials", "read", "permissions")
MAX_SECONDS = 20.0
# Four permissions of ten entity types.
MAX_PERMISSIONS = 40
# The most requests that the check of one permission takes.
_PERMISSION_REQUESTS = 4
_MAX_ADDRESSES = 3
_MAX_SCOPES = 20
# These steps make no request, so they have no duration.
_UNTIMED_CODES: Mapping[str, None] = {"shown-by-read": None, "none-needed": None}
# Results of a step that are not a success.
_RESULTS: Mapping[str, bool | None] = {
    "read-unproved": None,
    "permissions-missing": False,
    "permissions-incomplete": None,
}
# Results of a successful step that a person should look at.
WARNING_CODES = frozenset(
    {"transport-plain", "client-certificate-ending", "linked-missing", "permissions-limited"}
)
_GRANTED = frozenset({PermissionAnswer.GRANTED, PermissionAnswer.PARTLY})
_LACKING = frozenset({PermissionAnswer.REFUSED, PermissionAnswer.FAILED})
_LIMITED = frozenset(
    {PermissionAnswer.PARTLY, PermissionAnswer.NOT_ACCEPTED, PermissionAnswer.NOT_CONFIGURED}
)
# Results of the sample call that show that the system accepts the credentials.
_PROVING_CODES = frozenset({"read", "probe-answered", "linked-read", "linked-missing"})


class CheckStep(NamedTuple):
    """Result of one step.

    `is_good` is None if the step was not reached or shows nothing. `code` is the code of the result or of the failure.
    `facts` is JSON-serializable.
    """

    name: StepName
    is_good: bool | None
    code: str
    seconds: float | None = None
    facts: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class CheckedConnection:
    """Arguments of `registry.make_connector` for the connection to check.

    `credentials` are None if the stored ones cannot be decrypted: then no step sends any. `used_types` are the entity
    types of its enabled routes; the permissions for them are required. `linked_items` are the newest linked entities or
    records, each with its entity type, at most MAX_PROOF_READS: one of them should be readable.
    """

    connector: str
    base_url: str
    authentication: Mapping[str, Any]
    credentials: Mapping[str, str] | None = field(repr=False)
    settings: Mapping[str, Any]
    deadline: float
    byte_cap: int
    request_id: str
    used_types: frozenset[str] = frozenset()
    linked_items: tuple[tuple[str, str], ...] = ()


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

    def check_before_sending(self, _: OutgoingRequest) -> None:
        """Allow every request: the check sends no write."""

    def record_exchange(self, exchange: RecordedExchange) -> None:
        self.status = exchange.status


def check_connection(checked: CheckedConnection, max_seconds: float = MAX_SECONDS) -> tuple[CheckStep, ...]:
    """Run the steps in order, within `max_seconds`.

    Steps after a failure get the code `not-reached`. The permissions are checked even if the sample call was refused or
    its response was not understood.
    """
    check = _ConnectionCheck(checked, time.monotonic() + max_seconds)
    steps: list[CheckStep] = []
    for name in STEP_NAMES:
        is_over = any(step.is_good is False and not _leaves_permissions_open(step) for step in steps)
        steps.append(CheckStep(name, None, "not-reached") if is_over else check.run_step(name))
    return _infer_credentials_result(steps)


def _infer_credentials_result(steps: list[CheckStep]) -> tuple[CheckStep, ...]:
    """Derive the result of the credentials step from the sample read where the credentials alone show
    nothing.
    """
    *earlier, credentials, read, permissions = steps
    is_refused = read.is_good is False and read.code.endswith(f"-{CredentialsRefused.code_suffix}")
    if is_refused and _has_granted(permissions):
        return (*earlier, credentials, read._replace(code="read-refused"), permissions)
    if is_refused:
        facts = {**credentials.facts, **read.facts}
        failed = CheckStep("credentials", False, read.code, read.seconds, facts)
        return (*earlier, failed, CheckStep("read", None, "not-reached"), permissions)
    if credentials.code != "shown-by-read" or read.code in _PROVING_CODES:
        return tuple(steps)
    code = "not-proved" if read.code == "read-unproved" else "not-known"
    return (*earlier, CheckStep("credentials", None, code, None, credentials.facts), read, permissions)


def _leaves_permissions_open(step: CheckStep) -> bool:
    """Return True for a failed sample call whose answer is about what was read."""
    status = step.facts.get("status")
    # 401 is about the authentication, 429 asks for fewer requests.
    return step.name == "read" and status is not None and status < 500 and status not in (401, 429)


def _has_granted(permissions: CheckStep) -> bool:
    answers = (finding["answer"] for finding in permissions.facts.get("findings", ()))
    return any(answer in _GRANTED for answer in answers)


class _ConnectionCheck:
    def __init__(self, subject: CheckedConnection, ends_at: float) -> None:
        self._subject = subject
        self._ends_at = ends_at
        self._recorder = _CheckRecorder(ends_at)
        self._scope_findings: tuple[PermissionFinding, ...] = ()

    def run_step(self, name: StepName) -> CheckStep:
        started = time.monotonic()
        try:
            code, facts = getattr(self, f"_check_{name}")()
            is_good = _RESULTS.get(code, True)
        except _StepFailed as failed:
            return CheckStep(name, False, failed.code, time.monotonic() - started, failed.facts)
        except SettingsInvalid as invalid:
            if (credential := self._missing_credential(invalid)) is not None:
                return CheckStep(name, False, "credential-missing", None, {"credential": credential})
            return CheckStep(name, False, "settings-invalid", None, {"sentence": str(invalid)})
        except OSError as error:
            # The client certificate is loaded from a file in memory.
            if not is_resource_shortage(error):
                raise
            return CheckStep(name, False, HUB_EXHAUSTED_CODE, time.monotonic() - started)
        return CheckStep(name, is_good, code, _UNTIMED_CODES.get(code, time.monotonic() - started), facts)

    def _missing_credential(self, invalid: SettingsInvalid) -> str | None:
        """Return the name of the credential that is invalid because it is not stored; None for all else."""
        match invalid.place:
            case ("credentials", str(name)) if not (self._subject.credentials or {}).get(name):
                return name
        return None

    def _check_name(self) -> tuple[str, Mapping[str, Any]]:
        addresses = _probe_endpoint(lambda: resolve_endpoint(self._endpoint()))
        more = len(addresses) - _MAX_ADDRESSES
        return "name-known", {"addresses": addresses[:_MAX_ADDRESSES], "more": max(0, more)}

    def _check_transport(self) -> tuple[str, Mapping[str, Any]]:
        subject, now = self._subject, datetime.now(UTC)
        own = (
            None
            if subject.credentials is None
            else find_client_certificate(subject.base_url, subject.authentication, subject.credentials)
        )
        client = _client_facts(own.facts) if own else {}
        if own and own.facts.expires_at <= now:
            raise _StepFailed("client-certificate-expired", client)
        endpoint = self._endpoint()._replace(client_certificate=own)
        certificate = _probe_endpoint(lambda: fetch_certificate(endpoint))
        if certificate is None:
            return "transport-plain", {}
        is_ending = own is not None and own.facts.expires_at <= now + EXPIRY_WARNING
        code = "client-certificate-ending" if is_ending else "transport-encrypted"
        return code, {**_certificate_facts(certificate), **client}

    def _check_credentials(self) -> tuple[str, Mapping[str, Any]]:
        scheme = str(self._subject.authentication.get("scheme", "none"))
        if self._subject.credentials is None:
            raise _StepFailed("credentials-unreadable", {"scheme": scheme})
        renewed = self._call_connector(lambda: self._make_connector().renew_credentials())
        if renewed is not None:
            self._scope_findings = _scope_findings(self._subject.authentication, renewed.missing_scopes)
            return "token-given", {"scheme": scheme, "good_for": round(renewed.lifetime_seconds)}
        return ("none-needed" if scheme == "none" else "shown-by-read"), {"scheme": scheme}

    def _check_read(self) -> tuple[str, Mapping[str, Any]]:
        sample = self._call_connector(lambda: self._make_connector().read_sample())
        facts: dict[str, Any] = {
            "call": sample.request_label,
            "status": self._recorder.status,
            "found": sample.item_count,
        }
        if self._subject.linked_items:
            facts["linked"] = len(self._subject.linked_items)
            if not self._call_connector(self._can_read_linked_item):
                if sample.item_count:
                    # A listed item was read by its own path: the system knows the credentials.
                    return "linked-missing", facts
                raise _StepFailed("linked-unread", facts | {"status": self._recorder.status})
        if not sample.is_proof:
            return ("linked-read" if self._subject.linked_items else "read-unproved"), facts
        return ("probe-answered" if sample.item_count is None else "read"), facts

    def _can_read_linked_item(self) -> bool:
        """Return True if one of the linked items can be read. A system that ignores credentials which it does not know
        may answer any list with nothing.
        """
        items = self._subject.linked_items
        connector = self._make_connector(MAX_PROOF_READS + 1)
        types = dict.fromkeys(entity_type for entity_type, _ in items)
        return any(
            is_any_readable(
                [item for name, item in items if name == entity_type],
                partial(connector.has_item, entity_type),
            )
            for entity_type in types
        )

    def _check_permissions(self) -> tuple[str, Mapping[str, Any]]:
        permissions = sorted(
            self._make_connector().list_permissions(), key=lambda one: not self._is_used(one[0])
        )
        findings = list(self._scope_findings)
        for entity_type, permission in permissions[:MAX_PERMISSIONS]:
            # Each with a new deadline, so that all of them end in time.
            started, seconds = time.monotonic(), self._seconds_left() / _PERMISSION_REQUESTS
            connector = self._make_connector(_PERMISSION_REQUESTS)
            self._recorder.status = None
            try:
                finding = connector.check_permission(entity_type, permission)
            except _StepFailed:
                break
            status = self._recorder.status if finding.status is None else finding.status
            if status is None and seconds <= time.monotonic() - started < self._subject.deadline:
                # The system had less time than the connection allows it: this is not a finding about it.
                continue
            findings.append(replace(finding, status=status))
        left_out = len(self._scope_findings) + len(permissions) - len(findings)
        findings += self._absence_findings()
        facts = {"findings": [asdict(finding) for finding in findings], "left_out": left_out}
        return self._summarize_findings(findings, left_out), facts

    def _absence_findings(self) -> list[PermissionFinding]:
        """Return a finding for each type of a route whose deletions may wait for ever, because the settings have no
        request that proves them.
        """
        return [
            PermissionFinding(
                entity_type,
                "absence",
                PermissionAnswer.NOT_CONFIGURED,
                setting=f"/entities/{entity_type}",
                missing=("list", "probe"),
            )
            for entity_type in self._make_connector().list_unprovable_types()
            if self._is_used(entity_type)
        ]

    def _summarize_findings(self, findings: list[PermissionFinding], left_out: int) -> str:
        """Return the code of the step. It fails if a scope or a permission that a route uses is missing, or if nothing
        is granted.
        """
        refused = [finding for finding in findings if finding.answer in _LACKING]
        is_needed = any(not finding.entity_type or self._is_used(finding.entity_type) for finding in refused)
        if is_needed or (refused and not any(finding.answer in _GRANTED for finding in findings)):
            return "permissions-missing"
        if left_out:
            return "permissions-incomplete"
        is_limited = any(finding.answer in _LIMITED for finding in findings)
        return "permissions-limited" if refused or is_limited else "permissions-given"

    def _is_used(self, entity_type: str) -> bool:
        return entity_type.upper() in {name.upper() for name in self._subject.used_types}

    def _seconds_left(self) -> float:
        return max(0.05, self._ends_at - time.monotonic())

    def _endpoint(self) -> HttpEndpoint:
        subject = self._subject
        base = read_base_url(subject.base_url)
        own = read_connection_options(subject.connector, subject.settings)
        # Half of the time left, since a certificate that is not trusted takes a second connection.
        seconds = min(subject.deadline, self._seconds_left() / 2)
        return HttpEndpoint(base.origin, seconds, subject.byte_cap, own.ca, own.networks)

    def _make_connector(self, requests: int = 2) -> TestableConnector:
        """Make a connector that can send `requests` requests, one after the other, in the time that is left."""
        subject = self._subject
        parse_authentication(subject.authentication, read_base_url(subject.base_url))
        connector: TestableConnector = make_connector(
            CONNECTOR_SIDES[subject.connector],
            subject.connector,
            base_url=subject.base_url,
            authentication=subject.authentication,
            credentials=subject.credentials or {},
            settings=subject.settings,
            # By default half of the time left, since a token request may precede the read.
            deadline=min(subject.deadline, self._seconds_left() / requests),
            byte_cap=subject.byte_cap,
            request_id=subject.request_id,
            recorder=self._recorder,
        )
        return connector

    def _call_connector(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except ConnectorError as error:
            facts = {"status": self._recorder.status, "message": str(error)}
            raise _StepFailed(error.code, facts) from None


def _scope_findings(
    authentication: Mapping[str, Any], missing_scopes: tuple[str, ...]
) -> tuple[PermissionFinding, ...]:
    """Return the finding on the scope of a new token; none if no scope was requested."""
    if not authentication.get("scope"):
        return ()
    answer = PermissionAnswer.REFUSED if missing_scopes else PermissionAnswer.GRANTED
    setting, missing = "/authentication/scope", missing_scopes[:_MAX_SCOPES]
    return (PermissionFinding("", "scope", answer, setting=setting, missing=missing),)


def _probe_endpoint(call: Callable[[], T]) -> T:
    try:
        return call()
    except ProbeFailed as unreached:
        raise _StepFailed(unreached.code, _certificate_facts(unreached.certificate)) from None


def _client_facts(facts: CertificateFacts) -> Mapping[str, Any]:
    return {"client": facts.subject, "client_ends_at": facts.expires_at.isoformat()}


def _certificate_facts(certificate: ServerCertificate | None) -> Mapping[str, Any]:
    if certificate is None:
        return {}
    return {"issuer": certificate.issuer, "ends_at": certificate.expires_at.isoformat()}
