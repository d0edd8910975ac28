"""POST to a configured address, signed by Standard Webhooks 1.0.0 (https://www.standardwebhooks.com).

Used for alarms and for checkpoints of the audit log.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

from connectors.http.message_types import ExchangeFailure, HttpEndpoint, HttpRequest
from connectors.http.transport import transmit_request
from connectors.http.urls import BaseUrl, allowed_url_pattern, parse_base_url

SECRET_PREFIX = "whsec_"  # noqa: S105
MIN_KEY_BYTES = 24


def parse_signing_key(secret: str) -> bytes:
    """Decode a `whsec_…` secret. Raises ValueError, without the secret in it, for anything else."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) < MIN_KEY_BYTES:
        raise ValueError(
            f"the secret must be {SECRET_PREFIX} followed by at least {MIN_KEY_BYTES} bytes in base64"
        )
    return key


def sign_headers(key: bytes, webhook_id: str, sent_at: datetime, body: bytes) -> dict[str, str]:
    """Return the three signature headers. `webhook_id` is equal for each attempt and has no full stop, which
    separates the signed parts.
    """
    seconds = str(int(sent_at.timestamp()))
    content = b".".join((webhook_id.encode("ascii"), seconds.encode("ascii"), body))
    signature = base64.b64encode(hmac.digest(key, content, "sha256")).decode("ascii")
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{signature}",
    }


TIMEOUT_SECONDS = 10.0
BYTE_CAP = 65_536


class PostFailed(Exception):
    """The request failed and may not have arrived. The text is for support and contains no secret."""


def post_signed(description: str, url: str, secret: str, webhook_id: str, body: bytes) -> None:
    """Send JSON within ten seconds; any 2xx status is success. Raises PostFailed, whose text calls the
    receiver `description`.
    """
    now = datetime.now(UTC)
    try:
        base, template = _split_url(url)
        signed = sign_headers(parse_signing_key(secret), webhook_id, now, body) if secret else {}
        response = transmit_request(
            _build_request(base, template, signed, body), HttpEndpoint(base.origin, TIMEOUT_SECONDS, BYTE_CAP)
        )
    except ValueError as error:
        raise PostFailed(f"the settings of {description} are not good: {error}") from error
    except ExchangeFailure as failure:
        raise PostFailed(f"{description} failed: {failure}") from failure
    if not 200 <= response.status < 300:
        raise PostFailed(f"{description} responded with {response.status}")


def _split_url(url: str) -> tuple[BaseUrl, str]:
    """Split a URL into its base and the rest of its path: a trailing slash, or a slash if it has no path."""
    base = parse_base_url(url)
    return base, "/" if url.endswith("/") or not base.prefix else ""


def _build_request(base: BaseUrl, template: str, signed: Mapping[str, str], body: bytes) -> HttpRequest:
    headers = {
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": "integration-hub",
        **signed,
    }
    url = f"{base.origin}{base.prefix}{template}"
    return HttpRequest("POST", url, headers, body, allowed_url_pattern(base, template))
