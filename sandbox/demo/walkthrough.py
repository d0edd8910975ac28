"""One change of an e-mail address, followed from the identity service to the shop."""

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.base.clock import utc_now
from sandbox.demo.client import DemoError, Remote

PERSON = "IDNUMBER1234"
POLL_SECONDS = 0.05
_OWN_PATHS = ("/api/notify",)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Demo:
    """Who takes part. ``start_seconds`` is how long they may take to start, ``follow_seconds`` how long
    the shop may take after the hub's 202."""

    hub: Remote
    identity: Remote
    shop: Remote
    logins: Path
    start_seconds: float = 60
    follow_seconds: float = 30


def change_email(demo: Demo, say: Say) -> bool:
    """Changes the person's address in the identity service and tells each hop.

    Whether the shop's record, read back from its API, has the new address.
    """
    say(f"Before: {_shown(shop_record(demo))}")
    new = f"anna.aalto+{datetime.now(UTC):%Y%m%d%H%M%S}@example.com"
    user = demo.identity.call("PATCH", f"/api/users/{PERSON}", {"emails": [_address(new)]})
    say(f"1. Changed in the identity service: {PERSON} now has {user['emails'][0]['address']}")
    delivered = _notify(demo, say)
    say(
        f"4. The hub responded with {delivered['status'] or 'nothing'}: "
        f"{delivered['body'] or delivered['error']}"
    )
    deadline = time.monotonic() + (demo.follow_seconds if delivered["status"] == 202 else 0)
    record = shop_record(demo)
    while _email(record) != new and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        record = shop_record(demo)
    say(f"After:  {_shown(record)}")
    say(_verdict(delivered, record, new))
    return _email(record) == new


def shop_record(demo: Demo) -> dict[str, Any] | None:
    """The person's record in the shop, None where it has none."""
    found = demo.shop.call("GET", f"/api/customers?external_id={PERSON}")["items"]
    return found[0] if found else None


def _notify(demo: Demo, say: Say) -> dict[str, Any]:
    """Has the webhook sent and tells what both services are asked meanwhile. The hub's answer."""
    moment = utc_now("seconds")
    webhook = {"id": PERSON, "entityType": "USER", "eventType": "UPDATE", "timestamp": moment}
    watched = [
        _Watch(demo.identity, "2. Requests to the identity service"),
        _Watch(demo.shop, "3. Requests to the shop"),
    ]
    say(f"   Webhook sent: {json.dumps(webhook, separators=(',', ':'))}")
    answers: queue.SimpleQueue[dict[str, Any] | DemoError] = queue.SimpleQueue()
    threading.Thread(target=_send, args=(demo.identity, webhook, answers), daemon=True).start()
    answer: dict[str, Any] | DemoError | None = None
    while answer is None:
        with suppress(queue.Empty):
            answer = answers.get(timeout=POLL_SECONDS)
        for watch in watched:
            watch.tell(say)
    if isinstance(answer, DemoError):
        raise answer
    return answer


def _send(
    identity: Remote, webhook: Mapping[str, str], answers: "queue.SimpleQueue[dict[str, Any] | DemoError]"
) -> None:
    try:
        answers.put(identity.call("POST", "/api/notify", {**webhook, "source": "signed"}))
    except DemoError as error:
        answers.put(error)


class _Watch:
    """Tells the requests that a service's journal gains from here on, each once, when it has ended."""

    def __init__(self, remote: Remote, words: str) -> None:
        self._remote, self._words = remote, words
        self._since = remote.call("GET", "/_sandbox/journal")["last"]
        self._told: set[int] = set()

    def tell(self, say: Say) -> None:
        for entry in self._remote.call("GET", f"/_sandbox/journal?since={self._since}")["entries"]:
            if entry["ended"] is None or entry["n"] in self._told or entry["path"] in _OWN_PATHS:
                continue
            self._told.add(entry["n"])
            query = "&".join(f"{name}={value}" for name, value in entry["query"].items())
            target = entry["path"] + (f"?{query}" if query else "")
            say(f"{self._words} {entry['method']} {target}: {entry['status'] or 'line cut'}")


def _verdict(delivered: Mapping[str, Any], record: Mapping[str, Any] | None, new: str) -> str:
    if _email(record) == new:
        return f"The shop has the new address: {new}"
    answer = delivered["json"] if isinstance(delivered["json"], dict) else {}
    sentence = answer.get("detail") or delivered["error"] or "The hub gave no reason."
    return f"FAILED: the shop does not have {new}. The hub's response: {delivered['status']} {sentence}"


def _email(record: Mapping[str, Any] | None) -> object:
    return record["email"] if record else None


def _shown(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return f"the shop has no record of {PERSON}"
    return "the shop's customer {id}: {first_name} {last_name}, {email} (version {version})".format(**record)


def _address(email: str) -> dict[str, object]:
    return {"address": email, "verified": True}
