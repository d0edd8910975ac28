"""Sends webhooks to the hub and remembers what it answered."""

import threading
import time
import uuid
from collections import deque
from dataclasses import asdict, dataclass, fields, replace
from itertools import count
from typing import Any

import requests

from sandbox.base.clock import utc_now
from sandbox.base.store import Store
from sandbox.http.messages import Problem
from sandbox.identity.signing import sign
from sandbox.identity.webhook import Delivered, Webhook

TIMEOUT_SECONDS = 35
"""Above the longest wait that the hub's contract allows (30 s)."""

KEPT = 200
_COLLECTION = "settings"


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """``mode`` is "signed" or "unsigned"; ``automatic``: every API write sends; ``language``: of the answers;
    ``respond``: asked for in each webhook, empty for the hub's default; ``previous``: send what was
    overwritten."""

    signed_url: str = "http://127.0.0.1:8000/webhooks/aurora"
    unsigned_url: str = "http://127.0.0.1:8000/webhooks/aurora-unsigned"
    secret: str = ""
    mode: str = "signed"
    automatic: bool = False
    language: str = "en"
    respond: str = ""
    previous: bool = False

    def as_json(self) -> dict[str, Any]:
        """Everything but the secret, of which only whether there is one."""
        return asdict(self) | {"secret": bool(self.secret)}


_CHOICES = {
    "mode": {"signed", "unsigned"},
    "language": {"en", "fi"},
    "respond": {"", "ack", "result", "entity"},
}


class Sender:
    """Safe from any thread. What the constructor is given wins over what the store has kept."""

    def __init__(self, store: Store, given: dict[str, Any]) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._log: deque[Delivered] = deque(maxlen=KEPT)
        self._numbers = count(1)
        self._settings = SenderSettings()
        kept = store.get(_COLLECTION, "sender") or {}
        self.configure(kept | {name: value for name, value in given.items() if value is not None})

    @property
    def settings(self) -> SenderSettings:
        return self._settings

    def configure(self, changes: dict[str, Any]) -> SenderSettings:
        """Changes the settings that are given.

        Raises Problem (400) for an unknown setting or value.
        """
        for name, value in changes.items():
            _check_setting(name, value)
        with self._lock:
            self._settings = replace(self._settings, **changes)
            self._store.put(_COLLECTION, "sender", asdict(self._settings))
            return self._settings

    def log(self) -> list[Delivered]:
        """What was sent, oldest first."""
        with self._lock:
            return list(self._log)

    def find(self, number: int) -> Delivered | None:
        return next((each for each in self.log() if each.number == number), None)

    def send(self, webhook: Webhook, mode: str | None = None, language: str | None = None) -> Delivered:
        """Sends now and waits for the answer. No failure of the hub is an error here: it is what we report.

        Nothing leaves where a signed webhook is wanted and there is no usable secret; ``error`` says so.
        """
        settings = self._settings
        signed = (mode or settings.mode) == "signed"
        body, error = webhook.body(), None
        headers = {"Content-Type": "application/json", "Accept-Language": language or settings.language}
        if webhook.webhook_id:
            headers["webhook-id"] = webhook.webhook_id
        if signed:
            try:
                headers |= _signature(settings.secret, webhook.webhook_id or f"msg_{uuid.uuid4().hex}", body)
            except ValueError as unusable:
                error = f"The webhook was not sent. {unusable}"
        sent = Delivered(
            number=next(self._numbers),
            at=utc_now("seconds"),
            entity_id=webhook.id,
            url=settings.signed_url if signed else settings.unsigned_url,
            request_headers=headers,
            request_body=body.decode(),
            seconds=0.0,
            error=error,
        )
        delivered = sent if error else _exchange(sent, body)
        with self._lock:
            self._log.append(delivered)
        return delivered


def _signature(secret: str, message_id: str, body: bytes) -> dict[str, str]:
    now = int(time.time())
    signature = sign(secret, message_id, now, body)
    return {"webhook-id": message_id, "webhook-timestamp": str(now), "webhook-signature": signature}


def _exchange(sent: Delivered, body: bytes) -> Delivered:
    started = time.monotonic()
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                sent.url,
                data=body,
                headers=dict(sent.request_headers),
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
            text = answer.content.decode("utf-8", "replace")
    except (requests.RequestException, ValueError) as error:
        reason = "did not respond in time" if isinstance(error, requests.Timeout) else "could not be reached"
        return replace(sent, seconds=time.monotonic() - started, error=f"The hub {reason}.")
    return replace(
        sent,
        seconds=time.monotonic() - started,
        status=answer.status_code,
        headers=dict(answer.headers),
        body=text,
    )


def _check_setting(name: str, value: object) -> None:
    kinds = {each.name: type(each.default) for each in fields(SenderSettings)}
    if name not in kinds or not isinstance(value, kinds[name]):
        raise Problem(400, f"Unknown setting {name[:40]}.")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise Problem(400, f"{name} must be one of {', '.join(sorted(_CHOICES[name] - {''}))}.")
    if name.endswith("_url") and not str(value).startswith(("http://", "https://")):
        raise Problem(400, f"{name} must start with http:// or https://.")
