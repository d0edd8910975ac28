"""A change of an e-mail address, followed from the identity service to the shop."""

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.base.clock import utc_now
from sandbox.demo.client import DemoError, RemoteService

PERSON_ID = "IDNUMBER1234"
POLL_SECONDS = 0.05
_OWN_PATHS = ("/api/notify",)

PrintLine = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DemoSystems:
    """The systems of the demonstration.

    They may take ``start_seconds`` to start. After the hub's 202, the shop may take ``follow_seconds`` to be updated.
    ``logins`` is the file with the logins of the hub's console. ``comparison`` is a command that compares the two
    systems and makes equal what differs; empty: the demonstration ends with the change.
    """

    hub: RemoteService
    identity: RemoteService
    shop: RemoteService
    logins: Path
    comparison: Sequence[str] = ()
    start_seconds: float = 60
    follow_seconds: float = 30


def change_email(demo: DemoSystems, print_line: PrintLine) -> bool:
    """Change the person's address in the identity service and print each step.

    Returns True if the shop's record, read from its API afterwards, has the new address.
    """
    print_line(f"Before: {_describe_record(fetch_shop_record(demo))}")
    new_email = build_new_email()
    user = demo.identity.call_api("PATCH", f"/api/users/{PERSON_ID}", {"emails": [build_address(new_email)]})
    print_line(f"1. Changed in the identity service: {PERSON_ID} now has {user['emails'][0]['address']}")
    sent = _send_and_watch(demo, print_line)
    print_line(f"4. The hub responded with {sent['status'] or 'nothing'}: {sent['body'] or sent['error']}")
    deadline = time.monotonic() + (demo.follow_seconds if sent["status"] == 202 else 0)
    record = fetch_shop_record(demo)
    while _get_email(record) != new_email and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        record = fetch_shop_record(demo)
    print_line(f"After:  {_describe_record(record)}")
    print_line(_describe_result(sent, record, new_email))
    return _get_email(record) == new_email


def fetch_shop_record(demo: DemoSystems) -> dict[str, Any] | None:
    """Return the person's record in the shop; None if there is none."""
    records = demo.shop.call_api("GET", f"/api/customers?external_id={PERSON_ID}")["items"]
    return records[0] if records else None


def _send_and_watch(demo: DemoSystems, print_line: PrintLine) -> dict[str, Any]:
    """Have the webhook sent, and print the requests to both services meanwhile. Returns the hub's response."""
    timestamp = utc_now("seconds")
    webhook = {"id": PERSON_ID, "entityType": "USER", "eventType": "UPDATE", "timestamp": timestamp}
    watches = [
        _JournalWatch(demo.identity, "2. Requests to the identity service"),
        _JournalWatch(demo.shop, "3. Requests to the shop"),
    ]
    print_line(f"   Webhook sent: {json.dumps(webhook, separators=(',', ':'))}")
    responses: queue.SimpleQueue[dict[str, Any] | DemoError] = queue.SimpleQueue()
    threading.Thread(target=_request_webhook, args=(demo.identity, webhook, responses), daemon=True).start()
    response: dict[str, Any] | DemoError | None = None
    while response is None:
        with suppress(queue.Empty):
            response = responses.get(timeout=POLL_SECONDS)
        for watch in watches:
            watch.print_new_entries(print_line)
    if isinstance(response, DemoError):
        raise response
    return response


def _request_webhook(
    identity: RemoteService,
    webhook: Mapping[str, str],
    responses: "queue.SimpleQueue[dict[str, Any] | DemoError]",
) -> None:
    try:
        responses.put(identity.call_api("POST", "/api/notify", {**webhook, "source": "signed"}))
    except DemoError as error:
        responses.put(error)


class _JournalWatch:
    """A watch on a service's journal that prints each new entry once, after its request has ended."""

    def __init__(self, remote: RemoteService, label: str) -> None:
        self._remote, self._label = remote, label
        self._since = remote.call_api("GET", "/_sandbox/journal")["last"]
        self._printed: set[int] = set()

    def print_new_entries(self, print_line: PrintLine) -> None:
        """Print the requests that have ended since the last call."""
        for entry in self._remote.call_api("GET", f"/_sandbox/journal?since={self._since}")["entries"]:
            if entry["ended"] is None or entry["n"] in self._printed or entry["path"] in _OWN_PATHS:
                continue
            self._printed.add(entry["n"])
            query = "&".join(f"{name}={value}" for name, value in entry["query"].items())
            target = entry["path"] + (f"?{query}" if query else "")
            print_line(f"{self._label} {entry['method']} {target}: {entry['status'] or 'line cut'}")


def _describe_result(sent: Mapping[str, Any], record: Mapping[str, Any] | None, new_email: str) -> str:
    if _get_email(record) == new_email:
        return f"The shop has the new address: {new_email}"
    response = sent["json"] if isinstance(sent["json"], dict) else {}
    reason = response.get("detail") or sent["error"] or "The hub gave no reason."
    return f"FAILED: the shop does not have {new_email}. The hub's response: {sent['status']} {reason}"


def _get_email(record: Mapping[str, Any] | None) -> object:
    return record["email"] if record else None


def _describe_record(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return f"the shop has no record of {PERSON_ID}"
    return "the shop's customer {id}: {first_name} {last_name}, {email} (version {version})".format(**record)


def build_new_email() -> str:
    """Return an address of the person, another one each millisecond."""
    now = datetime.now(UTC)
    return f"anna.aalto+{now:%Y%m%d%H%M%S}{now.microsecond // 1000:03}@example.com"


def build_address(email: str) -> dict[str, object]:
    """Return a verified address as the identity service stores it."""
    return {"address": email, "verified": True}
