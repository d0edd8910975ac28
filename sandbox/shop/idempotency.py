"""Idempotent writes: a request that is sent twice with one ``Idempotency-Key`` is applied once."""

import hashlib
import time
from collections.abc import Callable

from sandbox.base.store import RecordStore
from sandbox.http.messages import HttpError, Request, Response

RETENTION_SECONDS = 24 * 3600
_COLLECTION = "answers"
_MAX_KEY_LENGTH = 255


def apply_once(store: RecordStore, request: Request, apply: Callable[[], Response]) -> Response:
    """Return the response of ``apply``, or the stored response to the same request with the same key.

    Responses are stored for 24 hours, refusals (4xx) too. The store's lock is held meanwhile.

    Raises HttpError: 409 for a key that was used for another request, 400 for a key above 255 characters. An exception
    of ``apply`` is raised to the caller, and nothing is stored.
    """
    key = request.get_header("Idempotency-Key")
    if not key or not request.is_write:
        return apply()
    if len(key) > _MAX_KEY_LENGTH:
        raise HttpError(400, "The Idempotency-Key is too long.")
    with store.lock:  # a second request with the key waits here for the first one's response
        _delete_expired(store)
        stored = store.get_record(_COLLECTION, key)
        if stored is None:
            return _store_response(store, key, request, apply())
    if stored["request"] != _hash_request(request):
        raise HttpError(409, "This Idempotency-Key was used for another request.")
    headers = {**stored["headers"], "Idempotent-Replayed": "true"}
    return Response(stored["status"], stored["body"].encode(), headers=headers)


def _store_response(store: RecordStore, key: str, request: Request, response: Response) -> Response:
    record = {
        "request": _hash_request(request),
        "status": response.status,
        "headers": dict(response.headers),
        "body": response.body.decode(),
        "at": time.time(),
    }
    store.put_record(_COLLECTION, key, record)
    return response


def _delete_expired(store: RecordStore) -> None:
    while (oldest := store.find_oldest(_COLLECTION)) and oldest[1]["at"] < time.time() - RETENTION_SECONDS:
        store.delete_record(_COLLECTION, oldest[0])


def _hash_request(request: Request) -> str:
    parts = (request.method, request.path, request.query_string, hashlib.sha256(request.body).hexdigest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
