"""Can a system be reached: is its name known, does it answer, and what certificate does it show?

Nothing is sent over what is opened here. Names, addresses and certificates are judged by the rules that hold for
every exchange (`dns`, `response_reader`, `transport.trusting`).
"""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509

from sync.connectors.http import deadline as deadlines
from sync.connectors.http.dns import addresses, is_permitted
from sync.connectors.http.messages import Wire
from sync.connectors.http.response_reader import Passage, open_socket
from sync.connectors.http.transport import trusting

_PORTS = {"http": 80, "https": 443}
_LONGEST_NAME = 120
# X509_V_ERR_…: https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/
_REASONS = {
    9: "certificate-not-yet-valid",
    10: "certificate-expired",
    62: "certificate-of-another-name",
    64: "certificate-of-another-name",
}


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a system showed. `issuer` is text of a stranger."""

    issuer: str
    ends_at: datetime


class Unreached(Exception):
    """Why it cannot be reached, as a stable word; with the certificate that was at fault, where it could be read."""

    def __init__(self, code: str, certificate: Certificate | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.certificate = certificate


def host_of(wire: Wire) -> tuple[str, int]:
    """The host and port of an origin."""
    parts = urlsplit(wire.origin)
    return parts.hostname or "", parts.port or _PORTS[parts.scheme]


def look_up(wire: Wire) -> list[str]:
    """The addresses that the host has and that may be connected to. Raises Unreached."""
    host, port = host_of(wire)
    try:
        found = addresses(host, port, wire.seconds)
    except TimeoutError:
        raise Unreached("name-late") from None
    except OSError:
        raise Unreached("name-unknown") from None
    texts = list(dict.fromkeys(str(each[4][0]) for each in found))
    permitted = [text for text in texts if is_permitted(text, wire.networks)]
    if not permitted:
        raise Unreached("address-forbidden")
    return permitted


def reach(wire: Wire) -> Certificate | None:
    """Connect, and over https shake hands; the certificate, None where nothing is encrypted. Raises Unreached."""
    if urlsplit(wire.origin).scheme == "http":
        with _opened(wire, None):
            return None
    try:
        with _opened(wire, trusting(wire)) as sock:
            return _certificate(sock)
    except ssl.SSLCertVerificationError as error:
        code = _REASONS.get(error.verify_code, "certificate-untrusted")
        raise Unreached(code, _shown(wire)) from None


def _shown(wire: Wire) -> Certificate | None:
    """The certificate that was refused, to say whose it is and when it ended; nothing is sent to who shows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with _opened(wire, context) as sock:
            return _certificate(sock)
    except (Unreached, OSError):
        return None


@contextlib.contextmanager
def _opened(wire: Wire, context: ssl.SSLContext | None) -> Iterator[socket.socket]:
    """A connection, watched by its deadline. Raises Unreached, and SSLCertVerificationError."""
    host, port = host_of(wire)
    passage = Passage(wire)
    deadlines.guard(passage.deadline)
    sock: socket.socket | None = None
    try:
        sock = open_socket(host, port, passage)
        passage.deadline.watch(sock)
        if context is not None:
            sock.settimeout(passage.deadline.remaining())
            sock = context.wrap_socket(sock, server_hostname=host)
    except OSError as error:
        if sock is not None:
            sock.close()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise
        raise Unreached(_reason(error, passage)) from None
    finally:
        passage.deadline.end()
    with sock:
        yield sock


def _reason(error: OSError, passage: Passage) -> str:
    if passage.deadline.passed() or isinstance(error, TimeoutError):
        return "no-answer"
    if isinstance(error, ConnectionRefusedError):
        return "connection-refused"
    return "no-tls" if isinstance(error, ssl.SSLError | ConnectionResetError) else "no-connection"


def _certificate(sock: socket.socket) -> Certificate | None:
    assert isinstance(sock, ssl.SSLSocket), "it was wrapped"
    try:
        found = x509.load_der_x509_certificate(sock.getpeercert(binary_form=True) or b"")
        return Certificate(_name(found.issuer), found.not_valid_after_utc)
    except ValueError:
        return None


def _name(name: x509.Name) -> str:
    """The organisation, or the common name; else all of it."""
    for kind in (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME):
        for attribute in name.get_attributes_for_oid(kind):
            return str(attribute.value)[:_LONGEST_NAME]
    return name.rfc4514_string()[:_LONGEST_NAME]
