"""The timestamp of a webhook: RFC 3339 as the contract narrows it."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.webhooks.corpus.members import TIMESTAMPS
from webhooks.protocol.webhook_parser import MalformedBody, parse_webhook

pytestmark = pytest.mark.pure


def parsed_webhook(timestamp):
    members = {"id": "1", "entityType": "USER", "eventType": "UPDATE", "timestamp": timestamp}
    return parse_webhook(json.dumps(members).encode())


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2019-01-01T00:00:00Z", datetime(2019, 1, 1, tzinfo=UTC)),
        ("2019-01-01T00:00:00+00:00", datetime(2019, 1, 1, tzinfo=UTC)),
        ("2019-01-01T00:00:00-00:00", datetime(2019, 1, 1, tzinfo=UTC)),
        ("2019-01-01T02:30:00+02:30", datetime(2019, 1, 1, tzinfo=UTC)),
        ("2018-12-31T21:30:00-02:30", datetime(2019, 1, 1, tzinfo=UTC)),
        ("2019-01-01T14:00:00+14:00", datetime(2019, 1, 1, tzinfo=UTC)),
        ("2019-01-01T13:59:00+13:59", datetime(2019, 1, 1, tzinfo=UTC)),
        ("2018-12-31T10:00:00-14:00", datetime(2019, 1, 1, tzinfo=UTC)),
        ("2019-01-01T23:59:59Z", datetime(2019, 1, 1, 23, 59, 59, tzinfo=UTC)),
        ("2019-01-01T00:00:00.5Z", datetime(2019, 1, 1, microsecond=500_000, tzinfo=UTC)),
        ("2019-01-01T00:00:00.05Z", datetime(2019, 1, 1, microsecond=50_000, tzinfo=UTC)),
        ("2019-01-01T00:00:00.000001Z", datetime(2019, 1, 1, microsecond=1, tzinfo=UTC)),
        ("2019-01-01T00:00:00.1234567Z", datetime(2019, 1, 1, microsecond=123_456, tzinfo=UTC)),
        ("2019-01-01T00:00:00.123456789Z", datetime(2019, 1, 1, microsecond=123_456, tzinfo=UTC)),
        ("2019-01-01T00:00:00.999999999+01:00", datetime(2018, 12, 31, 23, 0, 0, 999_999, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2100-12-31T23:59:59.999999Z", datetime(2100, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("1970-01-01T14:00:00+14:00", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2100-12-31T09:59:59-14:00", datetime(2100, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2000-02-29T00:00:00Z", datetime(2000, 2, 29, tzinfo=UTC)),
        ("2024-02-29T12:00:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
    ],
)
def test_a_timestamp_is_read_in_utc_and_stored_as_written(written, instant):
    parsed = parsed_webhook(written)
    assert parsed.occurred_at == instant
    assert parsed.occurred_at.utcoffset() == timedelta(0)
    assert parsed.occurred_text == written


@pytest.mark.parametrize(
    "written",
    TIMESTAMPS,
)
def test_an_invalid_timestamp_is_refused_and_named(written):
    with pytest.raises(MalformedBody) as caught:
        parsed_webhook(written)
    assert (caught.value.code, caught.value.pointer) == ("wrong-timestamp", "/timestamp")


OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(max_examples=200, deadline=None)
@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 12, 30), timezones=OFFSETS))
def test_every_time_in_range_is_read_back_unchanged(instant):
    assert parsed_webhook(instant.isoformat()).occurred_at == instant
