"""The JSON examples of docs/connect.md are what the hub accepts."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.settings.identity import IDENTITY_SETTINGS
from connectors.settings.target import TARGET_SETTINGS
from sync.planning.mapping_declaration import parse_mapping
from tests.support.http.connectors import make_operations
from webhooks.protocol.formats.webhook_format import WebhookFormat

pytestmark = pytest.mark.pure
MANUAL = Path(__file__).parents[2] / "docs" / "connect.md"
RECORDS = make_operations("/customers")["operations"]


def examples() -> list[dict[str, Any]]:
    return [
        json.loads(block) for block in re.findall(r"```json\n(.*?)```", MANUAL.read_text("utf-8"), re.DOTALL)
    ]


def accept(example: Mapping[str, Any]) -> str:
    """Return the kind of an example. Raises SettingsInvalid, or another error of its reader, if it is not accepted."""
    if "results" in example:
        return "answer"
    if "fields" in example:
        parse_mapping(example)
        return "mapping"
    if "event_types" in example:
        WebhookFormat.kind.read(example, ())
        return "format"
    if "operations" in example or "list_items" in example:
        records = example | {"operations": RECORDS | example.get("operations", {})}
        TARGET_SETTINGS.read({"entities": {"USER": records}}, ())
        return "operations"
    is_target = any("operations" in one for one in example["entities"].values())
    (TARGET_SETTINGS if is_target else IDENTITY_SETTINGS).read(example, ())
    return "target" if is_target else "identity"


def test_each_example_of_the_manual_is_accepted() -> None:
    kinds = {accept(example) for example in examples()}
    assert kinds == {"answer", "mapping", "format", "operations", "target", "identity"}
