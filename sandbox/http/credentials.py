"""Credentials of a request: the ``Authorization`` header taken apart, and secrets compared."""

import binascii
import hmac
from base64 import b64decode

from sandbox.http.messages import Request


def authorization(request: Request) -> tuple[str, str]:
    """Return the scheme in lower case and the credentials after it; both empty without the header."""
    scheme, _, value = request.header("Authorization").partition(" ")
    return scheme.lower(), value


def basic_credentials(value: str) -> tuple[str, str]:
    """Return the name and the password of Basic credentials; both empty where they are not readable."""
    try:
        name, _, password = b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


def is_same_secret(given: str, secret: str) -> bool:
    """Compare in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode(), secret.encode())
