"""The ``v1`` signature of Standard Webhooks 1.0.0 (standard-webhooks.com), from the sender's side."""

import base64
import binascii
import hashlib
import hmac

_PREFIX = "whsec_"


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of the ``webhook-signature`` header; ``timestamp`` in seconds since 1970.

    Raises ValueError where the secret is empty or not ``whsec_`` and base64 (padding may be missing).
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.digest(_key(secret), signed, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def _key(secret: str) -> bytes:
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
