"""Times as the databases have them: their clocks, and the times of their columns."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class DatabaseTime:
    """As the value of a column: the database's own clock when the statement runs, and `seconds` later."""

    seconds: float = 0.0


NOW = DatabaseTime()

CLOCK_SQL = {
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')",
    "postgresql": "(STATEMENT_TIMESTAMP() + %s * INTERVAL '1 second')",
}


def parse_timestamp(value: Any) -> datetime:
    """A time of a column or of the clock as a driver gives it: SQLite's are text or have no zone, and mean UTC."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def parse_optional_timestamp(value: Any) -> datetime | None:
    """The same, of a column that may be empty."""
    return None if value is None else parse_timestamp(value)
