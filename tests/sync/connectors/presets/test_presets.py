"""Each preset of a system against the exchanges that its vendor documents: the hub sends these requests and no others.

`exchanges/<preset>.json` has the steps: a call of the connector, the requests that it sends with the responses to them,
and its result. They were recorded from stand-ins that were written from the vendor's documentation.
"""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sync.connectors.client import log_in_guard, refresh_tokens
from sync.connectors.presets import PRESETS, load_preset
from tests.support.http.connectors import identity, shop
from tests.support.http.servers import serving
from tests.sync.connectors.presets.replay import Replay, call_connector, make_credentials

pytestmark = [pytest.mark.pure, pytest.mark.presets, pytest.mark.concurrent]

FOLDER = Path(__file__).parent / "exchanges"
RECORDED = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}
MAKERS = {"rest-identity": identity, "rest-target": shop}
# What a file must show, beside the connection test and a refusal of wrong credentials.
CALLS = {
    "rest-identity": {"fetch_entity", "check_access", "list_entities"},
    "rest-target": {"get_record", "search_records", "create_record", "update_record"},
}


@pytest.fixture(autouse=True)
def state_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_in_guard, "_guard", log_in_guard.MemoryGuard())
    monkeypatch.setattr(refresh_tokens, "_store", refresh_tokens.MemoryRefreshTokens())


def connect(name: str, url: str, recorded: dict[str, Any], credentials: dict[str, str]) -> Any:
    """Return a connector with a preset, whose tokens come from the replaying server too."""
    preset = load_preset(name)
    if "token_url" in preset["authentication"]:
        token_url = urlsplit(preset["authentication"]["token_url"])
        preset["authentication"]["token_url"] = url + token_url.path
    if "page_size" in recorded:
        preset["settings"]["entities"]["USER"]["list"]["size"] = recorded["page_size"]
    return MAKERS[preset["connector"]](
        url + recorded["base"],
        authentication=preset["authentication"],
        credentials=make_credentials(credentials),
        settings=preset["settings"],
    )


@pytest.mark.parametrize("name", RECORDED)
def test_a_preset_sends_the_recorded_requests_and_reads_their_responses(name: str) -> None:
    recorded = RECORDED[name]
    replay = Replay()
    with serving(replay.answer) as service:
        replay.url = service.url
        usual = connect(name, service.url, recorded, recorded["credentials"])
        for step in recorded["steps"]:
            connector = usual
            if "credentials" in step:
                connector = connect(name, service.url, recorded, step["credentials"])
            replay.expected.extend(step["exchanges"])
            result = call_connector(connector, step)
            assert replay.unexpected == [], step["name"]
            assert not replay.expected, f"{step['name']}: requests were not sent"
            assert result == step["result"], step["name"]


def test_every_preset_of_a_vendor_has_recorded_exchanges_of_each_kind() -> None:
    # The sandbox runs, and Trivore has a server of its own.
    vendors = set(PRESETS) - {"sandbox-identity", "sandbox-shop", "trivore"}
    assert set(RECORDED) == vendors
    for name, recorded in RECORDED.items():
        results = [step["result"] for step in recorded["steps"] if isinstance(step["result"], dict)]
        assert CALLS[PRESETS[name].connector] | {"read_sample"} <= {
            step["call"] for step in recorded["steps"]
        }
        assert "CredentialsRefused" in {result.get("error") for result in results}, name
