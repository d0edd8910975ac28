"""The sender of webhooks to the hub, with a log of the hub's responses."""

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from itertools import count
from typing import Any

import requests

from sandbox.base.clock import utc_now
from sandbox.base.store import RecordStore
from sandbox.http.messages import HttpError
from sandbox.identity.signing import sign_webhook
from sandbox.identity.webhook import SentWebhook, Webhook

TIMEOUT_SECONDS = 35
"""Longer than a source may make the hub wait with its response (30 s)."""

MAX_LOG_ENTRIES = 200
_COLLECTION = "settings"


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """The settings of the sender.

    ``mode`` is "signed" or "unsigned". If ``automatic``, every API write sends a webhook. ``language`` is the requested
    language of responses. ``respond`` is sent in each webhook, unless it is empty. If ``previous``, webhooks of the
    pages carry the values that an update has replaced.
    """

    signed_url: str = "http://127.0.0.1:8000/webhooks/aurora"
    unsigned_url: str = "http://127.0.0.1:8000/webhooks/aurora-unsigned"
    secret: str = ""
    mode: str = "signed"
    automatic: bool = False
    language: str = "en"
    respond: str = ""
    previous: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return all settings; instead of the secret, true if there is one."""
        return asdict(self) | {"secret": bool(self.secret)}


_CHOICES = {
    "mode": {"signed", "unsigned"},
    "language": {"en", "fi"},
    "respond": {"", "ack", "result", "entity"},
}


class WebhookSender:
    """Sends webhooks and logs the responses. Thread-safe.

    Settings given to the constructor override those in the store. ``has_numeric_ids`` says whether an id of digits is
    sent as a number.
    """

    def __init__(
        self, store: RecordStore, initial_settings: dict[str, Any], has_numeric_ids: Callable[[], bool]
    ) -> None:
        self._store = store
        self._has_numeric_ids = has_numeric_ids
        self._lock = threading.Lock()
        self._log: deque[SentWebhook] = deque(maxlen=MAX_LOG_ENTRIES)
        self._numbers = count(1)
        self._settings = SenderSettings()
        stored = store.get_record(_COLLECTION, "sender") or {}
        self.change_settings(
            stored | {name: value for name, value in initial_settings.items() if value is not None}
        )

    @property
    def settings(self) -> SenderSettings:
        return self._settings

    def change_settings(self, changes: dict[str, Any]) -> SenderSettings:
        """Change and store the given settings. Returns all settings.

        Raises HttpError (400) for an unknown setting or value.
        """
        for name, value in changes.items():
            _check_setting(name, value)
        with self._lock:
            self._settings = replace(self._settings, **changes)
            self._store.put_record(_COLLECTION, "sender", asdict(self._settings))
            return self._settings

    def list_sent(self) -> list[SentWebhook]:
        """Return the log, oldest webhook first."""
        with self._lock:
            return list(self._log)

    def find_sent(self, number: int) -> SentWebhook | None:
        """Return a webhook of the log by its number; None if there is none or it was dropped."""
        return next((sent for sent in self.list_sent() if sent.number == number), None)

    def send_webhook(
        self, webhook: Webhook, mode: str | None = None, language: str | None = None
    ) -> SentWebhook:
        """Send a webhook, wait for the response and log both. Never raises for a failure of the hub.

        If the webhook is to be signed without a valid secret, it is not sent, and ``error`` says so.
        """
        settings = self._settings
        is_signed = (mode or settings.mode) == "signed"
        body, error = webhook.encode_body(self._has_numeric_ids()), None
        headers = {"Content-Type": "application/json", "Accept-Language": language or settings.language}
        if webhook.webhook_id:
            headers["webhook-id"] = webhook.webhook_id
        if is_signed:
            try:
                headers |= _build_signature_headers(
                    settings.secret, webhook.webhook_id or f"msg_{uuid.uuid4().hex}", body
                )
            except ValueError as signing_error:
                error = f"The webhook was not sent. {signing_error}"
        unsent = SentWebhook(
            number=next(self._numbers),
            at=utc_now("seconds"),
            entity_id=webhook.id,
            url=settings.signed_url if is_signed else settings.unsigned_url,
            request_headers=headers,
            request_body=body.decode(),
            seconds=0.0,
            error=error,
        )
        sent = unsent if error else _post_webhook(unsent, body)
        with self._lock:
            self._log.append(sent)
        return sent


def _build_signature_headers(secret: str, message_id: str, body: bytes) -> dict[str, str]:
    now = int(time.time())
    signature = sign_webhook(secret, message_id, now, body)
    return {"webhook-id": message_id, "webhook-timestamp": str(now), "webhook-signature": signature}


def _post_webhook(unsent: SentWebhook, body: bytes) -> SentWebhook:
    """Send a webhook and return it with the response, or with an error if there was none."""
    started = time.monotonic()
    try:
        with requests.Session() as session:
            session.trust_env = False
            response = session.post(
                unsent.url,
                data=body,
                headers=dict(unsent.request_headers),
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
            text = response.content.decode("utf-8", "replace")
    except (requests.RequestException, ValueError) as error:
        reason = "did not respond in time" if isinstance(error, requests.Timeout) else "could not be reached"
        return replace(unsent, seconds=time.monotonic() - started, error=f"The hub {reason}.")
    return replace(
        unsent,
        seconds=time.monotonic() - started,
        status=response.status_code,
        headers=dict(response.headers),
        body=text,
    )


def _check_setting(name: str, value: object) -> None:
    types = {setting.name: type(setting.default) for setting in fields(SenderSettings)}
    if name not in types or not isinstance(value, types[name]):
        raise HttpError(400, f"Unknown setting {name[:40]}.")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise HttpError(400, f"{name} must be one of {', '.join(sorted(_CHOICES[name] - {''}))}.")
    if name.endswith("_url") and not str(value).startswith(("http://", "https://")):
        raise HttpError(400, f"{name} must start with http:// or https://.")
