"""Conversion of times: the databases' clocks, and the values of timestamp columns."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class DatabaseTime:
    """Placeholder for a column's value: the database's own clock when the statement runs, plus `seconds`."""

    seconds: float = 0.0


NOW = DatabaseTime()

# Percent signs are doubled, because the texts take parameters.
CLOCK_SQL = {
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')",
    "postgresql": "(STATEMENT_TIMESTAMP() + %s * INTERVAL '1 second')",
}


def parse_timestamp(value: Any) -> datetime:
    """Return the driver's value of a timestamp as an aware datetime. SQLite returns text, or no zone, and means UTC."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def parse_optional_timestamp(value: Any) -> datetime | None:
    """Return the driver's value of a nullable timestamp column as an aware datetime, or None."""
    return None if value is None else parse_timestamp(value)
