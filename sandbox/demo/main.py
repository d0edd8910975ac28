"""``python -m sandbox demo``: a person changes an e-mail address, and every hop is told as it happens."""

import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from sandbox.demo.client import DemoError, Remote
from sandbox.demo.walkthrough import PERSON, POLL_SECONDS, Demo, change_email


def demo_of(environment: Mapping[str, str]) -> Demo:
    """The demonstration that the environment describes; what it leaves out is as ``make run`` has it."""
    identity_port = environment.get("SANDBOX_IDENTITY_PORT") or "8101"
    shop_port = environment.get("SANDBOX_SHOP_PORT") or "8102"
    return Demo(
        hub=Remote("The hub", environment.get("HUB_URL") or "http://127.0.0.1:8000"),
        identity=Remote(
            "The identity service",
            environment.get("SANDBOX_IDENTITY_URL") or f"http://127.0.0.1:{identity_port}",
            environment.get("SANDBOX_IDENTITY_TOKEN") or "identity-token",
        ),
        shop=Remote(
            "The shop",
            environment.get("SANDBOX_SHOP_URL") or f"http://127.0.0.1:{shop_port}",
            environment.get("SANDBOX_SHOP_TOKEN") or "shop-token",
        ),
        logins=Path(environment.get("HUB_LOGINS") or "var/logins.txt"),
    )


def main(demo: Demo, *, once: bool) -> int:
    """The exit code: 0 where the shop has this run's new address, 1 where it has not.

    Without ``once`` it stays after the change, whatever came of it, until SIGTERM or SIGINT, and gives 0; 1
    only where somebody did not start.
    """
    if not once:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(0))
    try:
        wait_for(demo)
    except DemoError as error:
        say(f"FAILED: {error}")
        return 1
    changed = _try_change(demo)
    if once:
        return 0 if changed else 1
    for line in addresses(demo):
        say(line)
    threading.Event().wait()
    return 0


def _try_change(demo: Demo) -> bool:
    try:
        return change_email(demo, say)
    except DemoError as error:
        say(f"FAILED: {error}")
        return False


def say(line: str) -> None:
    """One line for the person who watches, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def wait_for(demo: Demo) -> None:
    """Returns when all three answer.

    Raises DemoError with the first that does not within ``start_seconds``.
    """
    deadline = time.monotonic() + demo.start_seconds
    places = ((demo.hub, "/health"), (demo.identity, "/_sandbox/faults"), (demo.shop, "/_sandbox/faults"))
    for remote, path in places:
        while (status := remote.status(path)) != 200:
            if time.monotonic() > deadline:
                got = "no answer" if status is None else f"status {status}"
                raise DemoError(
                    f"{remote.title} is not ready after {demo.start_seconds:g} s: "
                    f"GET {remote.url}{path} gets {got}."
                )
            time.sleep(POLL_SECONDS)


def addresses(demo: Demo) -> Iterator[str]:
    """What to open now, and the logins where they are known."""
    yield ""
    yield "Now running (Ctrl-C stops everything):"
    yield f"  the hub's console     {demo.hub.url}/admin/"
    yield f"  Anna's profile page   {demo.identity.url}/users/{PERSON}"
    yield f"  the shop's customers  {demo.shop.url}/customers"
    yield f"  the shop's journal    {demo.shop.url}/journal"
    yield f"  the shop's faults     {demo.shop.url}/faults"
    with suppress(OSError):
        yield from ["", *demo.logins.read_text(encoding="utf-8").splitlines()]
