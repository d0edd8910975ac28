"""How a sender proves itself: the headers that `signatures.verify` accepts. Pure; for what the hub sends itself."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from webhooks.protocol.schemes import chosen, standard_key

Prover = Callable[[Mapping[str, Any], str, bytes, str, datetime], dict[str, str]]


def prove(
    scheme: str, settings: Mapping[str, Any], secret: str, body: bytes, webhook_id: str, at: datetime
) -> dict[str, str]:
    """Headers by lower-case name. KeyError for a scheme that nobody knows."""
    return _PROVERS[scheme](settings, secret, body, webhook_id, at)


def _standard(
    _: Mapping[str, Any], secret: str, body: bytes, webhook_id: str, at: datetime
) -> dict[str, str]:
    seconds = str(int(at.timestamp()))
    content = b".".join((webhook_id.encode("ascii"), seconds.encode("ascii"), body))
    digest = hmac.digest(standard_key(secret), content, hashlib.sha256)
    signature = f"v1,{base64.b64encode(digest).decode('ascii')}"
    return {"webhook-id": webhook_id, "webhook-timestamp": seconds, "webhook-signature": signature}


def _hmac(settings: Mapping[str, Any], secret: str, body: bytes, _: str, __: datetime) -> dict[str, str]:
    said = chosen("body-hmac", settings)
    digest = hmac.digest(secret.encode(), body, said["algorithm"])
    text = digest.hex() if said["encoding"] == "hex" else base64.b64encode(digest).decode("ascii")
    return {said["header"].lower(): f"{said['prefix']}{text}"}


def _timestamped(
    settings: Mapping[str, Any], secret: str, body: bytes, _: str, at: datetime
) -> dict[str, str]:
    said = chosen("timestamped-hmac", settings)
    number = str(int(at.timestamp() * (1000 if said["unit"] == "milliseconds" else 1)))
    text = hmac.digest(secret.encode(), b".".join((number.encode("ascii"), body)), hashlib.sha256).hex()
    return {said["header"].lower(): f"{said['time']}={number},{said['signature']}={text}"}


def _bearer(_: Mapping[str, Any], secret: str, *__: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def _basic(_: Mapping[str, Any], secret: str, *__: Any) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(secret.encode()).decode('ascii')}"}


def _header(settings: Mapping[str, Any], secret: str, *_: Any) -> dict[str, str]:
    return {str(settings.get("header", "")).lower(): secret}


def _none(*_: Any) -> dict[str, str]:
    return {}


_PROVERS: Mapping[str, Prover] = {
    "standard-webhooks": _standard,
    "body-hmac": _hmac,
    "timestamped-hmac": _timestamped,
    "bearer": _bearer,
    "basic": _basic,
    "header": _header,
    "none": _none,
}
