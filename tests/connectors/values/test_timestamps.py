"""The time of the last change of an entity, in any format of its service."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.presets import load_preset
from connectors.values.timestamps import parse_timestamp
from tests.support.http.connectors import identity
from tests.support.http.servers import Reply, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

MOMENT = datetime(2026, 11, 24, 10, 0, 0, tzinfo=UTC)


def test_valid_timestamps_are_read() -> None:
    cases: list[tuple[Any, datetime | None]] = [
        ("2026-11-24T10:00:00Z", MOMENT), ("2026-11-24t10:00:00z", MOMENT), ("2026-11-24 10:00:00Z", MOMENT),
        ("2026-11-24T12:00:00+02:00", MOMENT), ("2026-11-24T10:00:00.123Z", MOMENT.replace(microsecond=123_000)),
        ("2026-11-24T10:00:00.123456789Z", MOMENT.replace(microsecond=123_456)),
        (1795514400, MOMENT), (1795514400123, MOMENT.replace(microsecond=123_000)),
        (1795514400.5, MOMENT.replace(microsecond=500_000)), (0, datetime(1970, 1, 1, tzinfo=UTC)),
        ("2026-11-24T10:00:00", None), ("2026-11-24", None), ("2026-11-24T10:00:60Z", None), ("2026-13-24T10:00:00Z", None),
        ("2026-11-24T10:00:00+25:00", None), ("0001-01-01T00:00:00+10:00", None), ("yesterday", None), ("", None),
        ("1795514400", None), ("٢٠٢٦-11-24T10:00:00Z", None), (True, None), (-1, None), (10**30, None), (1e300, None),
        (float("inf"), None), (float("nan"), None), (None, None), ([], None), ({}, None),
    ]  # fmt: skip
    for value, moment in cases:
        assert parse_timestamp(value) == moment


@pytest.mark.nightly
@given(st.text() | st.integers() | st.floats())
def test_any_value_gives_a_time_in_utc_or_none(value: Any) -> None:
    moment = parse_timestamp(value)
    assert moment is None or moment.tzinfo is UTC


def _settings(**user: Any) -> dict[str, Any]:
    settings: dict[str, Any] = load_preset("sandbox-identity")["settings"]
    settings["entities"]["USER"] |= user
    return settings


def test_the_time_of_change_is_read_from_the_configured_field() -> None:
    cases: list[tuple[dict[str, Any], dict[str, Any], datetime | None]] = [
        ({"meta": {"lastModified": "2026-11-24T10:00:00.000Z"}}, {}, MOMENT),
        ({"meta": {"lastModified": "soon"}}, {}, None),
        ({"meta": "none"}, {}, None),
        ({}, {}, None),
        ({"changed": 1795514400000}, {"modified": "changed"}, MOMENT),
        ({"changed": "ten"}, {"modified": "abs(changed)"}, None),
        ({"meta": {"lastModified": "2026-11-24T10:00:00Z"}}, {"modified": None}, None),
    ]
    for body, over, moment in cases:
        with serving(lambda _, body=body: Reply(200, {"id": "a1", **body})) as service:
            entity = identity(service.url, settings=_settings(**over)).fetch_entity("USER", "a1")
        assert entity is not None
        assert entity.modified_at == moment
