"""Fetch the key sets (JWKS) of senders, with which receiving verifies their tokens."""

import logging
import re
from datetime import timedelta
from functools import partial

from django.utils import timezone

from sync.connectors.http.message_types import ExchangeFailure, HttpEndpoint, HttpRequest, HttpResponse
from sync.connectors.http.transport import transmit_request
from sync.connectors.http.urls import is_allowed_url, parse_base_url
from webhooks.models import claim_due_key_sets, claim_key_set, record_key_set_fault, store_key_set

logger = logging.getLogger("hub.key_sets")

TIMEOUT_SECONDS = 5.0
BYTE_CAP = 65_536
# Of responses that say nothing about their age.
DEFAULT_LIFETIME = timedelta(hours=1)
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
        response = _request(url)
        if response.status != 200:
            raise KeySetUnavailable(f"The response has the status {response.status}.")
        store_key_set(url, response.body, _lifetime_of(response), now)
    except (ExchangeFailure, ValueError) as error:
        record_key_set_fault(url, str(error), now)
        raise KeySetUnavailable(str(error)) from error
    except KeySetUnavailable as error:
        record_key_set_fault(url, str(error), now)
        raise


def _request(url: str) -> HttpResponse:
    base = parse_base_url(url)
    template = "/" if url.endswith("/") or not base.prefix else ""
    headers = {
        "Accept": "application/jwk-set+json, application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "integration-hub",
    }
    target = f"{base.origin}{base.prefix}{template}"
    request = HttpRequest("GET", target, headers, None, partial(is_allowed_url, base, template))
    return transmit_request(request, HttpEndpoint(base.origin, TIMEOUT_SECONDS, BYTE_CAP))


def _lifetime_of(response: HttpResponse) -> timedelta:
    found = _MAX_AGE.search(response.headers.get("cache-control", ""))
    return timedelta(seconds=int(found[1])) if found else DEFAULT_LIFETIME
