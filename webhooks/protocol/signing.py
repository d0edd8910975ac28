"""Sign a request as a sender does, with the headers that `signatures.verify_signature` accepts. Pure.

The console signs the test of a source with it.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from webhooks.protocol.schemes import decode_standard_key, resolve_settings

RequestSigner = Callable[[Mapping[str, Any], str, bytes, str, datetime], dict[str, str]]


def sign_request(
    scheme: str, settings: Mapping[str, Any], secret: str, body: bytes, webhook_id: str, at: datetime
) -> dict[str, str]:
    """Return the headers that sign `body`, by lower-case name. Raises KeyError for an unknown scheme."""
    return _SIGNERS[scheme](settings, secret, body, webhook_id, at)


def _sign_standard_webhooks(
    _: Mapping[str, Any], secret: str, body: bytes, webhook_id: str, at: datetime
) -> dict[str, str]:
    seconds = str(int(at.timestamp()))
    content = b".".join((webhook_id.encode("ascii"), seconds.encode("ascii"), body))
    digest = hmac.digest(decode_standard_key(secret), content, hashlib.sha256)
    signature = f"v1,{base64.b64encode(digest).decode('ascii')}"
    return {"webhook-id": webhook_id, "webhook-timestamp": seconds, "webhook-signature": signature}


def _sign_body_hmac(
    settings: Mapping[str, Any], secret: str, body: bytes, _: str, __: datetime
) -> dict[str, str]:
    options = resolve_settings("body-hmac", settings)
    digest = hmac.digest(secret.encode(), body, options["algorithm"])
    text = digest.hex() if options["encoding"] == "hex" else base64.b64encode(digest).decode("ascii")
    return {options["header"].lower(): f"{options['prefix']}{text}"}


def _sign_timestamped_hmac(
    settings: Mapping[str, Any], secret: str, body: bytes, _: str, at: datetime
) -> dict[str, str]:
    options = resolve_settings("timestamped-hmac", settings)
    number = str(int(at.timestamp() * (1000 if options["unit"] == "milliseconds" else 1)))
    text = hmac.digest(secret.encode(), b".".join((number.encode("ascii"), body)), hashlib.sha256).hex()
    return {options["header"].lower(): f"{options['time']}={number},{options['signature']}={text}"}


def _bearer_header(_: Mapping[str, Any], secret: str, *__: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def _basic_header(_: Mapping[str, Any], secret: str, *__: Any) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(secret.encode()).decode('ascii')}"}


def _secret_header(settings: Mapping[str, Any], secret: str, *_: Any) -> dict[str, str]:
    return {str(settings.get("header", "")).lower(): secret}


def _no_headers(*_: Any) -> dict[str, str]:
    return {}


_SIGNERS: Mapping[str, RequestSigner] = {
    "standard-webhooks": _sign_standard_webhooks,
    "body-hmac": _sign_body_hmac,
    "timestamped-hmac": _sign_timestamped_hmac,
    "bearer": _bearer_header,
    "basic": _basic_header,
    "header": _secret_header,
    "none": _no_headers,
}
