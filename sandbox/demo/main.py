"""``python -m sandbox demo``: change an e-mail address, let the hub compare, and print each step as it happens."""

import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from sandbox.demo.client import DemoError, RemoteService
from sandbox.demo.comparison import show_comparison
from sandbox.demo.walkthrough import PERSON_ID, POLL_SECONDS, DemoSystems, change_email


def load_demo(environment: Mapping[str, str]) -> DemoSystems:
    """Return the systems that the environment names; by default those of ``make run``."""
    identity_port = environment.get("SANDBOX_IDENTITY_PORT") or "8101"
    shop_port = environment.get("SANDBOX_SHOP_PORT") or "8102"
    return DemoSystems(
        hub=RemoteService("The hub", environment.get("HUB_URL") or "http://127.0.0.1:8000"),
        identity=RemoteService(
            "The identity service",
            environment.get("SANDBOX_IDENTITY_URL") or f"http://127.0.0.1:{identity_port}",
            environment.get("SANDBOX_IDENTITY_TOKEN") or "identity-token",
        ),
        shop=RemoteService(
            "The shop",
            environment.get("SANDBOX_SHOP_URL") or f"http://127.0.0.1:{shop_port}",
            environment.get("SANDBOX_SHOP_TOKEN") or "shop-token",
        ),
        logins=Path(environment.get("HUB_LOGINS") or "var/logins.txt"),
        comparison=shlex.split(environment.get("HUB_COMPARISON") or ""),
    )


def main(demo: DemoSystems, *, once: bool) -> int:
    """Run the demonstration and return the exit code.

    With ``once``: 0 if the shop has the new address and what the comparison found was made equal, otherwise 1. Without
    ``once`` the command prints the addresses of the systems and runs until SIGTERM or SIGINT, whatever the result of
    the change; the exit code is then 0, or 1 if one of the systems did not start.
    """
    if not once:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(0))
    try:
        wait_until_ready(demo)
    except DemoError as error:
        print_line(f"FAILED: {error}")
        return 1
    is_changed = _try_change(demo)
    if once:
        return 0 if is_changed else 1
    for line in list_addresses(demo):
        print_line(line)
    threading.Event().wait()
    return 0


def _try_change(demo: DemoSystems) -> bool:
    try:
        is_changed = change_email(demo, print_line)
        if not (is_changed and demo.comparison):
            return is_changed
        return show_comparison(demo, print_line)
    except DemoError as error:
        print_line(f"FAILED: {error}")
        return False


def print_line(line: str) -> None:
    """Print a line at once, without buffering."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def wait_until_ready(demo: DemoSystems) -> None:
    """Wait until all three systems respond.

    Raises DemoError, which names the first system that does not respond, after ``start_seconds``.
    """
    deadline = time.monotonic() + demo.start_seconds
    endpoints = ((demo.hub, "/health"), (demo.identity, "/_sandbox/faults"), (demo.shop, "/_sandbox/faults"))
    for remote, path in endpoints:
        while (status := remote.fetch_status(path)) != 200:
            if time.monotonic() > deadline:
                result = "no answer" if status is None else f"status {status}"
                raise DemoError(
                    f"{remote.title} is not ready after {demo.start_seconds:g} s: "
                    f"GET {remote.url}{path} gets {result}."
                )
            time.sleep(POLL_SECONDS)


def list_addresses(demo: DemoSystems) -> Iterator[str]:
    """Yield lines with the addresses to open, and with the logins if their file exists."""
    yield ""
    yield "Now running (Ctrl-C stops everything):"
    yield f"  the hub's console     {demo.hub.url}/admin/"
    yield f"  Anna's profile page   {demo.identity.url}/users/{PERSON_ID}"
    yield f"  the shop's customers  {demo.shop.url}/customers"
    yield f"  the shop's journal    {demo.shop.url}/journal"
    yield f"  the shop's drift      {demo.shop.url}/drift"
    yield f"  the shop's faults     {demo.shop.url}/faults"
    with suppress(OSError):
        yield from ["", *demo.logins.read_text(encoding="utf-8").splitlines()]
