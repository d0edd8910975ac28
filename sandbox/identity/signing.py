"""The ``v1`` signature of Standard Webhooks 1.0.0 (standard-webhooks.com), from the sender's side."""

import base64
import binascii
import hashlib
import hmac

_PREFIX = "whsec_"


def sign_webhook(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the ``webhook-signature`` header. ``timestamp`` is in seconds since 1970.

    Raises ValueError if the secret is empty or is not ``whsec_`` followed by base64 (its padding is optional).
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.digest(_decode_secret(secret), signed, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def _decode_secret(secret: str) -> bytes:
    if not secret:
        raise ValueError("No signing secret is set.")
    text = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("The signing secret must be whsec_ followed by base64.")
    return key
