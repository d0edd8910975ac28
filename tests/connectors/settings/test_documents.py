"""Settings of connections as documents: each is good as it is, and with one value changed refused at its place, or good.

`documents.json` has for each document the changed values: `at` is the place, `value` the other value (none: it is left
out), `refused` the place that the refusal names (null: it is accepted).
"""

from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from connectors.presets import load_preset
from connectors.registry import CONNECTOR_SIDES, make_connector, validate_connection
from tests.connectors.settings.documents import DOCUMENTS, change
from tests.support.http.connectors import MemoryRecorder

pytestmark = pytest.mark.pure


def find_refusal(document: dict[str, Any]) -> str | None:
    """Return the place that the refusal of a connection names; None if it is accepted. A refusal is a sentence."""
    settings, name, base_url = document["settings"], document["connector"], document["base_url"]
    try:
        if "credentials" not in document:
            validate_connection(name, settings, document["authentication"], base_url)
        else:
            make_connector(
                CONNECTOR_SIDES[name],
                name,
                base_url=base_url,
                authentication=document["authentication"],
                credentials=document["credentials"],
                settings=settings,
                request_id="r1",
                recorder=MemoryRecorder(),
            )
    except SettingsInvalid as refused:
        return refused.pointer if refused.sentence.endswith(".") else refused.sentence
    return None


def test_each_document_is_good_and_refused_at_its_place_with_one_other_value() -> None:
    wrong = []
    for name, recorded in DOCUMENTS.items():
        document = {"base_url": "https://a.test", **recorded}
        rows = document.pop("changed")
        if isinstance(document["settings"], str):
            document["settings"] = load_preset(document["settings"])["settings"]
        tried = [(None, document, None)]
        tried += [(row, change(document, row["at"], row), row["refused"]) for row in rows]
        for row, changed, refused in tried:
            if (found := find_refusal(changed)) != refused:
                wrong.append((name, row, found))
    assert wrong == []
