"""Probe a system: resolve its name, connect, and read its certificate.

Nothing is sent over these connections. Names, addresses and certificates are checked by the rules of every
exchange (`egress`, `response_reader`, `transport.make_tls_context`).
"""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509

from connectors.contracts.errors import HUB_EXHAUSTED_CODE
from connectors.http.client_certificates import is_certificate_alert
from connectors.http.deadline import Deadline
from connectors.http.dns import AddressNotAllowed, resolve_allowed_addresses
from connectors.http.message_types import HttpEndpoint
from connectors.http.resource_shortage import is_resource_shortage
from connectors.http.response_reader import ExchangeState, open_socket
from connectors.http.transport import make_tls_context

_PORTS = {"http": 80, "https": 443}
_MAX_NAME_LENGTH = 120
# X509_V_ERR_…: https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/
_CODES_BY_VERIFY_ERROR = {
    9: "certificate-not-yet-valid",
    10: "certificate-expired",
    62: "certificate-of-another-name",
    64: "certificate-of-another-name",
}


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Certificate of a server. `issuer` is untrusted text."""

    issuer: str
    expires_at: datetime


class ProbeFailed(Exception):
    """The system cannot be reached. `code` is the machine word; `certificate` is the one at fault, if it
    could be read.
    """

    def __init__(self, code: str, certificate: ServerCertificate | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.certificate = certificate


def host_and_port(wire: HttpEndpoint) -> tuple[str, int]:
    """Return the host and port of an endpoint."""
    parts = urlsplit(wire.origin)
    return parts.hostname or "", parts.port or _PORTS[parts.scheme]


def resolve_endpoint(wire: HttpEndpoint) -> list[str]:
    """Return the addresses of the host that may be connected to. Raises ProbeFailed."""
    host, port = host_and_port(wire)
    try:
        addresses = resolve_allowed_addresses(host, port, wire.deadline_seconds, wire.allowed_networks)
    except TimeoutError:
        raise ProbeFailed("name-late") from None
    except AddressNotAllowed:
        raise ProbeFailed("address-forbidden") from None
    except OSError as error:
        raise ProbeFailed(HUB_EXHAUSTED_CODE if is_resource_shortage(error) else "name-unknown") from None
    return list(dict.fromkeys(str(address[4][0]) for address in addresses))


def fetch_certificate(wire: HttpEndpoint) -> ServerCertificate | None:
    """Connect and return the certificate over https, None over http. Raises ProbeFailed."""
    if urlsplit(wire.origin).scheme == "http":
        with _open_connection(wire, None):
            return None
    try:
        with _open_connection(wire, _make_tls_context(wire)) as sock:
            return _peer_certificate(sock)
    except ssl.SSLCertVerificationError as error:
        code = _CODES_BY_VERIFY_ERROR.get(error.verify_code, "certificate-untrusted")
        raise ProbeFailed(code, _fetch_untrusted_certificate(wire)) from None


def _make_tls_context(wire: HttpEndpoint) -> ssl.SSLContext:
    try:
        return make_tls_context(wire)
    except OSError as error:
        raise ProbeFailed(HUB_EXHAUSTED_CODE if is_resource_shortage(error) else "no-connection") from None


def _fetch_untrusted_certificate(wire: HttpEndpoint) -> ServerCertificate | None:
    """Read the certificate that was refused, to name its issuer and expiry. Nothing is sent to this server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # In this order: `ssl` refuses CERT_NONE while host names are checked.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with _open_connection(wire, context) as sock:
            return _peer_certificate(sock)
    except (ProbeFailed, OSError):
        return None


@contextlib.contextmanager
def _open_connection(wire: HttpEndpoint, context: ssl.SSLContext | None) -> Iterator[socket.socket]:
    """Open a connection that the deadline guards. Raises ProbeFailed and SSLCertVerificationError."""
    host, port = host_and_port(wire)
    deadline = Deadline(wire.deadline_seconds)
    sock: socket.socket | None = None
    try:
        with deadline.watch_exchange(None):
            sock = open_socket(host, port, ExchangeState(wire, deadline))
            deadline.watch_socket(sock)
            if context is not None:
                sock.settimeout(deadline.remaining_seconds())
                sock = context.wrap_socket(sock, server_hostname=host)
    except OSError as error:
        if sock is not None:
            sock.close()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise
        raise ProbeFailed(_failure_code(error, deadline, wire)) from None
    with sock:
        yield sock


def _failure_code(error: OSError, deadline: Deadline, wire: HttpEndpoint) -> str:
    if deadline.has_passed() or isinstance(error, TimeoutError):
        return "no-answer"
    if is_resource_shortage(error):
        return HUB_EXHAUSTED_CODE
    if isinstance(error, AddressNotAllowed | ConnectionRefusedError):
        return "address-forbidden" if isinstance(error, AddressNotAllowed) else "connection-refused"
    if is_certificate_alert(error):
        return f"client-certificate-{'refused' if wire.client_certificate else 'required'}"
    if isinstance(error, ssl.SSLError) and (error.reason or "").endswith("ALERT_HANDSHAKE_FAILURE"):
        return "tls-refused"
    return "no-tls" if isinstance(error, ssl.SSLError | ConnectionResetError) else "no-connection"


def _peer_certificate(sock: socket.socket) -> ServerCertificate | None:
    assert isinstance(sock, ssl.SSLSocket), "it was wrapped"
    try:
        certificate = x509.load_der_x509_certificate(sock.getpeercert(binary_form=True) or b"")
        return ServerCertificate(_issuer_name(certificate.issuer), certificate.not_valid_after_utc)
    except ValueError:
        return None


def _issuer_name(name: x509.Name) -> str:
    """Return the organisation, else the common name, else the whole name."""
    for kind in (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME):
        for attribute in name.get_attributes_for_oid(kind):
            return str(attribute.value)[:_MAX_NAME_LENGTH]
    return name.rfc4514_string()[:_MAX_NAME_LENGTH]
