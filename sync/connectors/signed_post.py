"""One POST to an address of the settings, signed by Standard Webhooks 1.0.0 (https://www.standardwebhooks.com).

For alarms and for checkpoints of the audit log.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from sync.connectors.http.messages import Failure, Request, Wire
from sync.connectors.http.transport import transmit
from sync.connectors.http.urls import Base, is_caged, parse_base_url

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


SECONDS = 10.0
BYTE_CAP = 65_536


class NotPosted(Exception):
    """It may not have arrived. The text is for support and holds no secret."""


def post(what: str, url: str, secret: str, webhook_id: str, body: bytes) -> None:
    """Send JSON; any 2xx means that it arrived. `NotPosted` says of `what` why it may not have, within ten seconds."""
    now = datetime.now(UTC)
    try:
        base, template = _target(url)
        signed = sign(signing_key(secret), webhook_id, now, body) if secret else {}
        answer = transmit(_request(base, template, signed, body), Wire(base.origin, SECONDS, BYTE_CAP))
    except ValueError as error:
        raise NotPosted(f"the settings of {what} are not good: {error}") from error
    except Failure as failure:
        raise NotPosted(f"{what} failed: {failure}") from failure
    if not 200 <= answer.status < 300:
        raise NotPosted(f"{what} was answered with {answer.status}")


def _target(url: str) -> tuple[Base, str]:
    """The base of a URL, and what is left of its path: a slash at its end, or where it has no path at all."""
    base = parse_base_url(url)
    return base, "/" if url.endswith("/") or not base.prefix else ""


def _request(base: Base, template: str, signed: Mapping[str, str], body: bytes) -> Request:
    headers = {
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": "integration-hub",
        **signed,
    }
    url = f"{base.origin}{base.prefix}{template}"
    return Request("POST", url, headers, body, partial(is_caged, base, template))
