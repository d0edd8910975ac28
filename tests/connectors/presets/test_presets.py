"""The presets of systems: complete files, and each against the exchanges that its vendor documents: the hub sends these requests and no others.

`exchanges/<preset>.json` has the steps: a call of the connector, the requests that it sends with the responses to them,
and its result. They were recorded from stand-ins that were written from the vendor's documentation.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from config_schema.errors import SettingsInvalid
from connectors import presets
from connectors.auth import log_in_guard, refresh_tokens
from connectors.presets import PRESETS, ConnectionPreset, load_preset
from connectors.registry import validate_connection
from connectors.settings.authentication import AUTHENTICATION
from connectors.settings.identity import IDENTITY_SETTINGS
from tests.connectors.presets.replay import Replay, call_connector, make_credentials, read_list
from tests.support.http.connectors import identity, shop
from tests.support.http.servers import serving

pytestmark = [pytest.mark.pure, pytest.mark.presets, pytest.mark.concurrent]

FOLDER = Path(__file__).parent / "exchanges"
RECORDED = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}
PRESET_FILES = Path(presets.__file__).parent
# The settings that run against the real systems.
PEERS = Path(__file__).parents[2] / "peers" / "settings"
MAKERS = {"rest-identity": identity, "rest-target": shop}
# What a file must show, beside the connection test and a refusal of wrong credentials.
CALLS = {
    "rest-identity": {"fetch_entity", "check_access", "read_entity_page"},
    "rest-target": {"get_record", "search_records", "create_record", "update_record"},
}
# A list and the read of one item, whose results are compared.
LISTS = {"read_entity_page": "fetch_entity", "read_record_page": "get_record"}
# Returns everything at once.
ONE_PAGE = {"canaille-identity"}


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
        for entity in preset["settings"]["entities"].values():
            entity.get("operations", entity)["list"]["size"] = recorded["page_size"]
    return MAKERS[preset["connector"]](
        url + recorded["base"],
        authentication=preset["authentication"],
        credentials=make_credentials(credentials),
        settings=preset["settings"],
    )


def run_step(name: str, url: str, recorded: dict[str, Any], step: dict[str, Any], usual: Any) -> Any:
    """Return what a step gives. A list is read by another connector for each page, with pages of two items."""
    credentials = step.get("credentials", recorded["credentials"])
    if step["call"] in LISTS:
        return read_list(lambda: connect(name, url, {**recorded, "page_size": 2}, credentials), step)
    return call_connector(connect(name, url, recorded, credentials) if "credentials" in step else usual, step)


@pytest.mark.parametrize("name", RECORDED)
def test_a_preset_sends_the_recorded_requests_and_reads_their_responses(name: str) -> None:
    """Lists are read page by page, each page by another connector; an item of one has all that its own path gives,
    unless the preset says that it has not.
    """
    recorded = RECORDED[name]
    replay = Replay()
    listed: dict[tuple[str, str], Any] = {}
    fetched: dict[tuple[str, str], Any] = {}
    with serving(replay.answer) as service:
        replay.url = service.url
        usual = connect(name, service.url, recorded, recorded["credentials"])
        for step in recorded["steps"]:
            replay.expected.extend(step["exchanges"])
            result = run_step(name, service.url, recorded, step, usual)
            assert replay.unexpected == [], step["name"]
            assert not replay.expected, f"{step['name']}: requests were not sent"
            entity_type = step["arguments"].get("entity_type", "")
            if step["call"] in LISTS:
                assert all(changed_since(item, step["arguments"].get("modified_since")) for item in result)
                listed.update({(entity_type, item.id): content_of(item) for item in result})
                result = [item.id for item in result]
            elif (
                step["call"] in LISTS.values() and isinstance(result, dict) and "id" in result and not listed
            ):
                fetched[entity_type, result["id"]] = content_of(result)
            assert result == step["result"], step["name"]
        whole = {kind for kind in {kind for kind, _ in listed} if usual.list_facts(kind).has_whole_items}
        common = {key for key in listed.keys() & fetched.keys() if key[0] in whole}
        assert {kind for kind, _ in common} == whole
        assert {key: listed[key] for key in common} == {key: fetched[key] for key in common}


def changed_since(item: Any, since: str | None) -> bool:
    """True if the hub reads that an item changed after a time."""
    return since is None or (
        item.modified_at is not None and item.modified_at > datetime.fromisoformat(since)
    )


def content_of(item: Any) -> Any:
    """Return the fields of a record or the attributes of an entity."""
    if isinstance(item, dict):
        return item.get("fields", item.get("attributes"))
    return json.loads(json.dumps(item.fields if hasattr(item, "fields") else item.attributes))


def test_a_list_that_says_complete_has_recorded_pages() -> None:
    """Two at least, of users at least, unless the system returns all of them at once."""
    for name, recorded in RECORDED.items():
        users = PRESETS[name].connector_settings["entities"]["USER"]
        if users.get("operations", users)["list"].get("complete"):
            pages = [len(step["exchanges"]) for step in recorded["steps"] if step["call"] in LISTS]
            assert pages, name
            assert name in ONE_PAGE or max(pages) > 1, name


def test_a_list_of_what_changed_has_recorded_pages_of_each_type() -> None:
    """Two at least, and what they list says when it changed: a catch-up goes on from there."""
    for name, recorded in RECORDED.items():
        for kind, settings in PRESETS[name].connector_settings["entities"].items():
            if "modified_since" in settings.get("list", {}):
                pages = [
                    len(step["exchanges"])
                    for step in recorded["steps"]
                    if step["arguments"].get("entity_type") == kind and "modified_since" in step["arguments"]
                ]
                assert max(pages, default=0) > 1, (name, kind)
                assert "modified" in settings, (name, kind)


def test_every_preset_of_a_vendor_has_recorded_exchanges_of_each_kind() -> None:
    assert set(RECORDED) == set(PRESETS) - {"sandbox-identity", "sandbox-shop"}
    for name, recorded in RECORDED.items():
        results = [step["result"] for step in recorded["steps"] if isinstance(step["result"], dict)]
        assert CALLS[PRESETS[name].connector] | {"read_sample"} <= {
            step["call"] for step in recorded["steps"]
        }
        assert "CredentialsRefused" in {result.get("error") for result in results}, name


def test_every_file_is_a_valid_preset() -> None:
    assert {path.stem for path in PRESET_FILES.glob("*.json")} == set(PRESETS)
    for preset in PRESETS.values():
        validate_connection(
            preset.connector, preset.connector_settings, preset.authentication, "https://a.test"
        )


def test_what_a_preset_is_read_as_is_written_and_read_again() -> None:
    for preset in PRESETS.values():
        documents = [(AUTHENTICATION, preset.authentication)]
        if preset.connector == "rest-identity":
            documents.append((IDENTITY_SETTINGS, preset.connector_settings))
        for kind, document in documents:
            read = kind.read(document, ())
            written = json.loads(json.dumps(kind.to_json(read)))
            assert kind.read(written, ()) == read


def test_presets_that_are_tested_with_the_real_system_are_those_of_the_peers() -> None:
    for path in PEERS.glob("*.json"):
        if path.stem in PRESETS:
            proved, preset = json.loads(path.read_text("utf-8")), load_preset(path.stem)
            assert {field: preset[field] for field in proved} == proved
            assert PRESETS[path.stem].is_tested
    tested = {name for name, preset in PRESETS.items() if preset.is_tested}
    assert tested - {"sandbox-identity", "sandbox-shop"} <= {path.stem for path in PEERS.glob("*.json")}


@pytest.mark.parametrize(("removed", "added"), [(None, "token"), ("needs", None), ("tested", None)])
def test_a_file_with_an_unknown_or_a_missing_field_is_refused(removed: str | None, added: str | None) -> None:
    document = json.loads((PRESET_FILES / "trivore.json").read_text("utf-8"))
    if removed is not None:
        del document[removed]
    else:
        document[added] = "x"
    with pytest.raises(SettingsInvalid) as caught:
        ConnectionPreset.kind.read(document, ("trivore.json",))
    assert caught.value.place == ("trivore.json", removed or added)


def test_a_copy_leaves_the_preset_as_it_is() -> None:
    load_preset("trivore")["settings"].clear()
    assert PRESETS["trivore"].connector_settings
    with pytest.raises(KeyError):
        load_preset("../secrets")
