"""The setting that makes writes conditional, and its errors."""

from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from connectors.settings.record_version import MAX_STALE_RULES
from connectors.settings.target import TARGET_SETTINGS
from connectors.values.answer_meaning import Meaning, find_meaning
from tests.support.http.connectors import shop_settings

pytestmark = pytest.mark.pure

ETAG: dict[str, Any] = {"read": {"header": "ETag"}, "send": {"header": "If-Match"}}
FIELD: dict[str, Any] = {"read": {"path": "version"}, "send": {"field": "version", "query": "version"}}


def parse(version: Any) -> Any:
    return TARGET_SETTINGS.read(shop_settings(version=version), ()).entities["USER"].version


def test_both_places_of_a_version_can_be_combined() -> None:
    parsed = parse(ETAG)
    assert (parsed.read.header, parsed.send.header, parsed.read.path) == ("etag", "If-Match", None)
    parsed = parse(FIELD)
    assert (parsed.read.path, parsed.send.field, parsed.send.query) == (
        ("version",),
        ("version",),
        "version",
    )
    parsed = parse({"read": {"path": 'meta."@odata.etag"'}, "send": {"header": "If-Match"}})
    assert (parsed.read.path, parsed.send.header) == (("meta", "@odata.etag"), "If-Match")


def test_rules_distinguish_an_outdated_version_from_other_refusals() -> None:
    cases: list[tuple[Any, int, bytes, bool]] = [
        (None, 412, b"", True),
        (None, 409, b"{}", False),
        ([{"status": 409}], 409, b"<html>", True),
        ([{"status": 409}], 412, b"{}", False),
        (
            [{"status": 412}, {"status": 409, "when": "body.code == 'version'"}],
            409,
            b'{"code":"version"}',
            True,
        ),
        (
            [{"status": 412}, {"status": 409, "when": "body.code == 'version'"}],
            409,
            b'{"code":"taken"}',
            False,
        ),
        ([{"status": 422, "when": "body.version"}], 422, b"<html>", False),
        ([{"status": 422, "when": "body.version"}], 422, b'{"version":[]}', False),
    ]
    for stale, status, body, is_stale in cases:
        rules = parse(ETAG if stale is None else {**ETAG, "stale": stale}).stale
        assert (find_meaning(rules, status, {}, body) is Meaning.STALE) is is_stale


def test_a_path_of_a_version_and_its_rules_are_bounded() -> None:
    for version, pointer in (
        ({**FIELD, "read": {"path": "a" + ".a" * 5000}}, "/read/path"),
        ({**ETAG, "stale": [{"status": 412}] * (MAX_STALE_RULES + 1)}, "/stale"),
    ):
        with pytest.raises(SettingsInvalid) as caught:
            parse(version)
        assert caught.value.pointer == f"/entities/USER/version{pointer}"
