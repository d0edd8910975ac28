"""Certificates by which the hub authenticates itself in TLS (mutual TLS): read, compared and loaded.

`ssl` loads a private key from a file only, and the key must not be left on a disk: it is given to `ssl` as a file in
memory.
"""

import contextlib
import hashlib
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from config_schema.errors import SettingsInvalid

MAX_CERTIFICATES = 10
# Characters. A chain of RSA certificates takes about 2,000 each, a key of 8,192 bits about 6,400.
MAX_CERTIFICATE_LENGTH = 40_000
MAX_KEY_LENGTH = 16_384
_MAX_NAME_LENGTH = 120
# The time before a client certificate expires in which the hub warns.
EXPIRY_WARNING = timedelta(days=30)
_CERTIFICATE_PLACE = ("credentials", "client_certificate")
_KEY_PLACE = ("credentials", "client_key")
_PEM = serialization.Encoding.PEM
# What `cryptography` raises for a document that it cannot read.
_READ_ERRORS = (ValueError, TypeError, UnsupportedAlgorithm)
# The ends of the names that `ssl` gives to the alerts by which a server refuses a client certificate, or demands one
# (RFC 8446, 6.2).
_ALERTS = (
    "ALERT_ACCESS_DENIED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_UNKNOWN_CA",
    "ALERT_UNSUPPORTED_CERTIFICATE",
)


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """Facts of a certificate that the console shows. `subject` is untrusted text of at most 120 characters."""

    subject: str
    begins_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client certificate with its private key. Two are equal if chain and key are; no repr shows the key.

    `pem`: the key and the chain, the client's own certificate first.
    """

    digest: bytes = field(repr=False)
    facts: CertificateFacts = field(compare=False)
    pem: bytes = field(repr=False, compare=False)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Let a TLS context present the certificate. Raises OSError."""
        with _memory_file(self.pem) as path:
            # Without a password `ssl` would ask for one at the terminal.
            context.load_cert_chain(path, password="")
        # Servers that ask for a certificate only once they have read the path of a request: IIS, Apache.
        context.post_handshake_auth = True


def read_client_certificate(certificate: str, key: str) -> ClientCertificate:
    """Read a certificate, with the certificates of its authorities, and its private key: both in PEM. Raises
    SettingsInvalid with a place in the credentials.
    """
    chain, private_key = _read_chain(certificate), _read_key(key)
    try:
        fits = [one.public_key() == private_key.public_key() for one in chain]
    except _READ_ERRORS:
        raise _invalid_certificate() from None
    if not fits[0]:
        raise SettingsInvalid(
            _KEY_PLACE,
            "The private key fits another certificate of the chain. Enter its certificate first."
            if any(fits)
            else "The private key does not fit the client certificate.",
        )
    pem = b"".join(
        [
            private_key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
            *(one.public_bytes(_PEM) for one in chain),
        ]
    )
    made = ClientCertificate(hashlib.sha256(pem).digest(), _certificate_facts(chain[0]), pem)
    try:
        made.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    except ssl.SSLError as error:
        raise SettingsInvalid(
            _CERTIFICATE_PLACE,
            f"TLS does not accept this certificate with its key: {error.reason}.",
        ) from None
    return made


def check_new_certificate(certificate: str, key: str, now: datetime) -> None:
    """Check what is about to be saved, each part alone if the other is empty. Raises SettingsInvalid."""
    if certificate and key:
        _require_validity(read_client_certificate(certificate, key).facts, now)
    elif certificate:
        _require_validity(_certificate_facts(_read_chain(certificate)[0]), now)
    elif key:
        _read_key(key)


def find_certificate_facts(certificate: str) -> CertificateFacts | None:
    """Return what a stored certificate says; None if it cannot be read."""
    try:
        return _certificate_facts(_read_chain(certificate)[0])
    except SettingsInvalid:
        return None


def is_certificate_alert(error: BaseException) -> bool:
    """Return True if a server ended TLS because of the client certificate, or because there was none."""
    return isinstance(error, ssl.SSLError) and (error.reason or "").endswith(_ALERTS)


def _read_chain(certificate: str) -> list[x509.Certificate]:
    if "PRIVATE KEY-----" in certificate:
        # Certificates are not hidden as secrets are.
        raise SettingsInvalid(_CERTIFICATE_PLACE, "This holds a private key. Enter the key in its own field.")
    if len(certificate) > MAX_CERTIFICATE_LENGTH:
        raise _invalid_certificate()
    try:
        chain = x509.load_pem_x509_certificates(certificate.encode())
    except _READ_ERRORS:
        raise _invalid_certificate() from None
    # One that is cut, or of another kind, is left out above.
    if len(chain) > MAX_CERTIFICATES or len(chain) != certificate.count("-----BEGIN"):
        raise _invalid_certificate()
    return chain


def _invalid_certificate() -> SettingsInvalid:
    sentence = (
        f"This must be the client certificate in PEM, with its line breaks, followed by at most {MAX_CERTIFICATES - 1} "
        "certificates of its authorities."
    )
    return SettingsInvalid(_CERTIFICATE_PLACE, sentence)


def _read_key(key: str) -> PrivateKeyTypes:
    if "ENCRYPTED" in key:
        sentence = (
            "The private key is encrypted. Decrypt it first, for example with “openssl pkey -in key.pem”: the hub "
            "encrypts it when it is stored."
        )
        raise SettingsInvalid(_KEY_PLACE, sentence)
    try:
        if len(key) > MAX_KEY_LENGTH:
            raise ValueError
        return serialization.load_pem_private_key(key.encode(), password=None)
    except _READ_ERRORS:
        sentence = "This must be one private key in PEM, with its line breaks."
        raise SettingsInvalid(_KEY_PLACE, sentence) from None


def _certificate_facts(certificate: x509.Certificate) -> CertificateFacts:
    try:
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        subject = str(names[0].value) if names else certificate.subject.rfc4514_string()
    except _READ_ERRORS:
        raise _invalid_certificate() from None
    named = subject or f"{certificate.serial_number:x}"
    return CertificateFacts(
        named[:_MAX_NAME_LENGTH], certificate.not_valid_before_utc, certificate.not_valid_after_utc
    )


def _require_validity(facts: CertificateFacts, now: datetime) -> None:
    if facts.expires_at <= now:
        sentence = f"The client certificate expired on {facts.expires_at:%Y-%m-%d}. Enter a new one."
        raise SettingsInvalid(_CERTIFICATE_PLACE, sentence)
    if facts.begins_at > now:
        sentence = f"The client certificate is not valid before {facts.begins_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
        raise SettingsInvalid(_CERTIFICATE_PLACE, sentence)


@contextlib.contextmanager
def _memory_file(content: bytes) -> Iterator[str]:
    """Yield the path of a file with this content that is on no disk. Where the system has none, it is a temporary file
    that only this user can read, and that is removed at once. Raises OSError.
    """
    if sys.platform == "linux":
        with os.fdopen(os.memfd_create("client-certificate"), "wb") as memory:
            path = Path(f"/proc/self/fd/{memory.fileno()}")
            # A container may have no /proc.
            if path.exists():
                memory.write(content)
                memory.flush()
                yield str(path)
                return
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name
