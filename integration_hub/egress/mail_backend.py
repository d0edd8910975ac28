"""Mails over SMTP, to a server that the hub may contact (EGRESS_ALLOW)."""

import smtplib
import socket
from typing import Any

from django.core.mail.backends.smtp import EmailBackend

from connectors.http.dns import resolve_allowed_addresses


class _CheckedSMTP(smtplib.SMTP):
    """SMTP that connects only to an allowed address, without resolving the name again."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        addresses = resolve_allowed_addresses(host, port, timeout)
        for address in addresses[:-1]:
            try:
                return socket.create_connection(address[4][:2], timeout)
            except OSError:
                # Another address may answer.
                continue
        return socket.create_connection(addresses[-1][4][:2], timeout)


class _CheckedTlsSMTP(smtplib.SMTP_SSL, _CheckedSMTP):
    """The same over TLS: `SMTP_SSL` wraps the socket of the class that follows it here."""


class CheckedEmailBackend(EmailBackend):
    """Django's backend for SMTP, to servers that the hub may contact."""

    @property
    def connection_class(self) -> Any:
        return _CheckedTlsSMTP if self.use_ssl else _CheckedSMTP
