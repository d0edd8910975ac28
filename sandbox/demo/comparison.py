"""A change that no webhook reports, found and made equal by the hub's own command."""

import subprocess
from collections.abc import Callable, Sequence

from sandbox.demo.client import DemoError, RemoteService

PrintLine = Callable[[str], None]


def show_comparison(
    identity: RemoteService, shop: RemoteService, command: Sequence[str], print_line: PrintLine
) -> bool:
    """Change a customer of the shop behind the hub's back, run ``command`` and print its lines.

    The command compares the two systems and makes equal what differs. Returns True if its exit status is 0. First the
    people whom the shop does not have get a webhook each, so that this one change is the only difference.
    """
    people = _report_missing_people(identity, shop)
    if people:
        print_line(f"5. {people} other people reported by webhook: the shop has a record of each")
    [change] = shop.call_api("POST", "/_sandbox/drift", {"kind": "change", "number": 1, "seed": people})[
        "changed"
    ]
    print_line(
        f"6. Changed in the shop, and nobody told the hub: {change['field']} of customer {change['id']}"
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - as `make run` says
        assert process.stdout is not None
        for line in process.stdout:
            print_line(line.rstrip())
    return process.returncode == 0


def _report_missing_people(identity: RemoteService, shop: RemoteService) -> int:
    """Send a webhook for each person without a record in the shop. Returns how many there were."""
    people = identity.call_api("GET", "/api/users?count=500")["resources"]
    missing = [
        user["id"]
        for user in people
        if not shop.call_api("GET", f"/api/customers?external_id={user['id']}")["items"]
    ]
    for key in missing:
        webhook = {"id": key, "entityType": "USER", "eventType": "UPDATE", "source": "signed"}
        sent = identity.call_api("POST", "/api/notify", webhook)
        if sent["status"] not in (200, 202):
            raise DemoError(f"The hub responded with {sent['status']} to a webhook for {key}: {sent['body']}")
    return len(missing)
