"""The demonstration: every step is shown, and success is only what the shop itself reports."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sandbox.demo.client import DemoError, RemoteService
from sandbox.demo.main import main, wait_until_ready
from sandbox.demo.walkthrough import DemoSystems
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.sandbox.client import Client
from tests.support.http.webhook_receiver import REFUSED, SUCCEEDED, Received, Receiver

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]


@pytest.fixture
def demo(hub: Receiver, identity: IdentityService, shop: ShopService, tmp_path: Path) -> DemoSystems:
    return DemoSystems(
        hub=RemoteService("The hub", hub.url),
        identity=RemoteService("The identity service", identity.url, identity.token),
        shop=RemoteService("The shop", shop.url, shop.token),
        logins=tmp_path / "logins.txt",
        start_seconds=60,
        follow_seconds=1,
    )


def carry(demo: DemoSystems, webhook: Received) -> str:
    """Deliver as the hub does: fetch the person, search the record, change it. Returns the shop's status."""
    key = webhook.json()["id"]
    user = demo.identity.call_api("GET", f"/api/users/{key}")
    record = demo.shop.call_api("GET", f"/api/customers?external_id={key}")["items"][0]
    shop = Client(demo.shop.url, "shop-token")
    change = {"email": user["emails"][0]["address"]}
    return str(shop("PATCH", f"/api/customers/{record['id']}", change).status_code)


def test_every_step_is_printed_and_the_new_address_read_back(
    hub: Receiver,
    demo: DemoSystems,
    identity: IdentityService,
    shop: ShopService,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def answer(webhook: Received) -> tuple[int, Any]:
        carry(demo, webhook)
        return 200, SUCCEEDED

    hub.answer = answer
    identity.sender.change_settings(
        {"mode": "unsigned"}
    )  # what a person chose for the pages is not asked here
    assert main(demo, once=True) == 0
    assert "webhook-signature" in hub.received[0].headers
    lines = capsys.readouterr().out.splitlines()
    new = shop.list_records("customers")[0]["email"]
    assert new.startswith("anna.aalto+2")
    assert "anna.aalto@example.com (version 1)" in lines[0]
    assert [line[:2] for line in lines] == ["Be", "1.", "  ", "2.", "3.", "3.", "4.", "Af", "Th"]
    assert hub.received[0].body.decode() in lines[2]
    assert lines[4].endswith("GET /api/customers?external_id=IDNUMBER1234: 200")
    assert lines[5].endswith("PATCH /api/customers/4711: 200")
    assert '"status": "succeeded"' in lines[6]
    assert lines[7:] == [
        f"After:  the shop's customer 4711: Anna Aalto, {new} (version 2)",
        f"The shop has the new address: {new}",
    ]


@pytest.mark.nightly
def test_after_a_202_it_waits_for_the_shop(hub: Receiver, demo: DemoSystems) -> None:
    def answer(webhook: Received) -> tuple[int, Any]:
        threading.Timer(0.3, carry, (demo, webhook)).start()
        return 202, {"status": "accepted"}

    hub.answer = answer
    assert main(demo, once=True) == 0


@pytest.mark.nightly  # it waits a second for a change
def test_it_fails_with_the_message_of_the_response_if_the_shop_has_the_old_address(
    hub: Receiver, demo: DemoSystems, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.always(422, REFUSED)
    assert main(demo, once=True) == 1
    assert f"422 {REFUSED['detail']}" in capsys.readouterr().out.splitlines()[-1]


def test_the_error_names_the_system_that_did_not_start(demo: DemoSystems) -> None:
    missing = RemoteService("The shop", "http://127.0.0.1:9")
    parts: dict[str, Any] = {name: getattr(demo, name) for name in ("hub", "identity", "logins")}
    with pytest.raises(DemoError, match="The shop is not ready"):
        wait_until_ready(DemoSystems(**parts, shop=missing, start_seconds=0.1))


@pytest.mark.submission
def test_the_command_keeps_running_prints_addresses_and_exits_cleanly(
    hub: Receiver, demo: DemoSystems, tmp_path: Path
) -> None:
    demo.logins.write_text("support  secret-1\n")
    environment = {
        "PATH": os.environ["PATH"],
        "HUB_URL": hub.url,
        "SANDBOX_IDENTITY_URL": demo.identity.url,
        "SANDBOX_SHOP_URL": demo.shop.url,
        "HUB_LOGINS": str(demo.logins),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox", "demo"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "secret-1" in line:
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    text = "\n".join(lines)
    for address in (
        f"{hub.url}/admin/",
        f"{demo.identity.url}/users/IDNUMBER1234",
        f"{demo.shop.url}/faults",
    ):
        assert address in text


def test_a_change_that_nobody_reported_is_left_to_the_command_that_compares(
    hub: Receiver, demo: DemoSystems, shop: ShopService, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(webhook: Received) -> tuple[int, Any]:
        carry(demo, webhook)
        return 200, SUCCEEDED

    hub.answer = answer
    script = "import sys; print('6. Compared', sys.argv[2]); sys.exit(int(sys.argv[1]))"
    for status in (0, 1):
        before = {record["id"]: record["phone"] for record in shop.list_records("customers")}
        command = [sys.executable, "-c", script, str(status)]
        assert main(dataclasses.replace(demo, comparison=command), once=True) == status
        after = {record["id"]: record["phone"] for record in shop.list_records("customers")}
        # The command is run after the shop has changed.
        assert [key for key in after if after[key] != before[key]] == [4711]
        assert capsys.readouterr().out.splitlines()[-2:] == [
            "5. Changed in the shop, and nobody told the hub: phone of customer 4711",
            "6. Compared IDNUMBER1234",
        ]
