"""Signing what we send, by Standard Webhooks 1.0.0 (https://www.standardwebhooks.com). Pure."""

import base64
import binascii
import hmac
from datetime import datetime

PREFIX = "whsec_"
SHORTEST = 24


def signing_key(secret: str) -> bytes:
    """The bytes of a `whsec_…` secret. ValueError, without the secret in it, for anything else."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or len(key) < SHORTEST:
        raise ValueError(f"the secret is not {PREFIX} and {SHORTEST} bytes or more in base64")
    return key


def sign(key: bytes, webhook_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers. `webhook_id` has no full stop, which parts what is signed; it is the same for each try."""
    seconds = str(int(at.timestamp()))
    content = b".".join((webhook_id.encode("ascii"), seconds.encode("ascii"), body))
    signature = base64.b64encode(hmac.digest(key, content, "sha256")).decode("ascii")
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{signature}",
    }
