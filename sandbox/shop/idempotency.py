"""``Idempotency-Key``: the same request sent twice is done once."""

import hashlib
import time
from collections.abc import Callable

from sandbox.base.store import Store
from sandbox.http.messages import Answer, Problem, Request

KEPT_SECONDS = 24 * 3600
_COLLECTION = "answers"
_LONGEST_KEY = 255


def once(store: Store, request: Request, apply: Callable[[], Answer]) -> Answer:
    """The answer of ``apply``, or the stored one of the same request with the same key. Holds the store's
    lock.

    A refused change (4xx) is stored too: the same key never brings another answer within 24 h.

    Raises Problem: 409 for a known key with another request, 400 for a key above 255 characters; what
    ``apply`` raises passes and is not stored.
    """
    key = request.header("Idempotency-Key")
    if not key or not request.is_write:
        return apply()
    if len(key) > _LONGEST_KEY:
        raise Problem(400, "The Idempotency-Key is too long.")
    with store.lock:
        _forget_old(store)
        known = store.get(_COLLECTION, key)
        if known is None:
            return _remember(store, key, request, apply())
    if known["request"] != _fingerprint(request):
        raise Problem(409, "This Idempotency-Key was used for another request.")
    headers = {**known["headers"], "Idempotent-Replayed": "true"}
    return Answer(known["status"], known["body"].encode(), headers=headers)


def _remember(store: Store, key: str, request: Request, answer: Answer) -> Answer:
    record = {
        "request": _fingerprint(request),
        "status": answer.status,
        "headers": dict(answer.headers),
        "body": answer.body.decode(),
        "at": time.time(),
    }
    store.put(_COLLECTION, key, record)
    return answer


def _forget_old(store: Store) -> None:
    while (oldest := store.oldest(_COLLECTION)) and oldest[1]["at"] < time.time() - KEPT_SECONDS:
        store.delete(_COLLECTION, oldest[0])


def _fingerprint(request: Request) -> str:
    parts = (request.method, request.path, request.query_text, hashlib.sha256(request.body).hexdigest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
