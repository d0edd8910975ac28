"""An authority that issues certificates for servers and clients, and servers that demand a client certificate."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_DAY = timedelta(days=1)
# Python 3.13 and newer trust only certificates that fulfil RFC 5280: an authority says what its key is for, and each
# certificate identifies its own key and that of its issuer.
_ISSUES_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


@dataclass(frozen=True)
class Issued:
    """A certificate and its private key in PEM."""

    certificate: str
    key: str

    @property
    def credentials(self) -> dict[str, str]:
        """Return them as the credentials of a connection."""
        return {"client_certificate": self.certificate, "client_key": self.key}


class Authority:
    """A certificate authority. `pem` is its own certificate."""

    def __init__(self, name: str = "Test Authority") -> None:
        self._name = _common_name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = (
            _builder(self._name, self._key, -_DAY, 3650 * _DAY)
            .issuer_name(self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_ISSUES_CERTIFICATES, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = made.public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self, name: str, key: Any = None, *, begins: timedelta = -_DAY, ends: timedelta = 365 * _DAY
    ) -> Issued:
        """Issue a certificate, valid from now + `begins` to now + `ends`, for servers on 127.0.0.1 and for clients."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        made = (
            _builder(_common_name(name), key, begins, ends)
            .issuer_name(self._name)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        return Issued(made.public_bytes(serialization.Encoding.PEM).decode(), key_pem(key))

    def server_context(self, folder: Path, clients: "Authority | None" = None) -> ssl.SSLContext:
        """Return the context of a server that demands a certificate of the authority `clients`; none if None."""
        own = self.issue("server")
        file = folder / "server.pem"
        file.write_text(own.certificate + own.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=clients.pem)
        return context


def key_pem(key: Any, password: bytes = b"") -> str:
    """Return a private key in PEM, encrypted if there is a password."""
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return str(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection).decode()
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _builder(name: x509.Name, key: Any, begins: timedelta, ends: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
