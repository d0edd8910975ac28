"""Fetch the key sets (JWKS) of senders, with which receiving verifies their tokens."""

import logging
import re
from datetime import timedelta

from django.utils import timezone

from connectors.http.message_types import (
    AddressRefused,
    ExchangeFailure,
    HttpEndpoint,
    HttpRequest,
    HttpResponse,
)
from connectors.http.transport import transmit_request
from connectors.http.urls import allowed_url_pattern, parse_base_url
from webhooks.models import claim_due_key_sets, claim_key_set, record_key_set_fault, store_key_set

logger = logging.getLogger("hub.key_sets")

TIMEOUT_SECONDS = 5.0
BYTE_CAP = 65_536
# Of responses that say nothing about their age.
DEFAULT_LIFETIME = timedelta(hours=1)
_UNTYPED_MEDIA_TYPES = ("", "text/plain", "application/octet-stream", "binary/octet-stream")
_MAX_AGE = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE)


class KeySetUnavailable(Exception):
    """A key set that could not be fetched. The text is a sentence without anything of the response."""


def refresh_key_sets() -> int:
    """Fetch the key sets that are due, or that a token asked for. Returns how many were stored.

    Safe at any time and from any number of processes: each address is asked once a minute at most.
    """
    stored = 0
    for url in claim_due_key_sets(timezone.now()):
        try:
            fetch_key_set(url)
            stored += 1
        except KeySetUnavailable as error:
            logger.warning("the keys of %s could not be fetched: %s", url, error)
    return stored


def fetch_new_key_set(url: str) -> None:
    """Fetch a key set for a source that is being saved, unless it was tried within a minute. Raises
    KeySetUnavailable.
    """
    if url in claim_due_key_sets(timezone.now()) or claim_key_set(url, timezone.now()):
        fetch_key_set(url)


def fetch_key_set(url: str) -> None:
    """Fetch a key set and store it. Raises KeySetUnavailable; the stored one stays until it is too old."""
    now = timezone.now()
    try:
        response = _request_key_set(url)
        _require_key_set_response(response)
        store_key_set(url, response.body, _read_lifetime(response), now)
    except (KeySetUnavailable, ExchangeFailure, ValueError) as error:
        if isinstance(error, AddressRefused):
            sentence = "The hub does not connect to this address."
        elif isinstance(error, ExchangeFailure):
            sentence = f"No key set was received: {error}."
        else:
            sentence = str(error)
        record_key_set_fault(url, sentence, now)
        raise KeySetUnavailable(sentence) from error


def _require_key_set_response(response: HttpResponse) -> None:
    """Raise KeySetUnavailable unless the response may contain a key set."""
    if 300 <= response.status < 400:
        raise KeySetUnavailable("The address redirects to another one, which the hub does not follow.")
    if response.status != 200:
        raise KeySetUnavailable(f"The response has the status {response.status}.")
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    # Static files often have no type or a general one. A page for people, such as a log-in, never holds keys.
    if media_type not in _UNTYPED_MEDIA_TYPES and not re.fullmatch(r"[a-z]+/(?:.*\+)?json", media_type):
        raise KeySetUnavailable("The content type of the response is not JSON.")


def _request_key_set(url: str) -> HttpResponse:
    base = parse_base_url(url)
    template = "/" if url.endswith("/") or not base.prefix else ""
    headers = {
        "Accept": "application/jwk-set+json, application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "integration-hub",
    }
    target = f"{base.origin}{base.prefix}{template}"
    request = HttpRequest("GET", target, headers, None, allowed_url_pattern(base, template))
    return transmit_request(request, HttpEndpoint(base.origin, TIMEOUT_SECONDS, BYTE_CAP))


def _read_lifetime(response: HttpResponse) -> timedelta:
    match = _MAX_AGE.search(response.headers.get("cache-control", ""))
    return timedelta(seconds=int(match[1])) if match else DEFAULT_LIFETIME
