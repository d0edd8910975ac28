"""Credentials of a request: the ``Authorization`` header parsed, and secrets compared."""

import binascii
import hmac
from base64 import b64decode

from sandbox.http.messages import Request


def parse_authorization(request: Request) -> tuple[str, str]:
    """Return the scheme in lower case and the credentials after it; both empty without the header."""
    scheme, _, value = request.get_header("Authorization").partition(" ")
    return scheme.lower(), value


def parse_basic_credentials(value: str) -> tuple[str, str]:
    """Return the name and the password of Basic credentials; both empty if they cannot be decoded."""
    try:
        name, _, password = b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


def is_same_secret(given: str, secret: str) -> bool:
    """Compare two secrets in a time that does not depend on the first difference."""
    return hmac.compare_digest(given.encode(), secret.encode())
