"""Python values as the database driver takes them, and back."""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Model


@dataclass(frozen=True, slots=True)
class Clock:
    """As the value of a column: the database's own clock when the statement runs, and `seconds` later."""

    seconds: float = 0.0


NOW = Clock()

_CLOCKS = {
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')",
    "postgresql": "(STATEMENT_TIMESTAMP() + %s * INTERVAL '1 second')",
}
PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


def prepared(values: Iterable[Any], vendor: str) -> list[Any]:
    """Values as the driver takes them. A row stands for its key."""
    prepare = _PREPARE[vendor]
    return [each if type(each) in PLAIN else prepare(each) for each in values]


def _for_sqlite(value: Any) -> Any:
    """What Django's backend makes of these types."""
    if isinstance(value, datetime):
        at = value if value.tzinfo is UTC else value.astimezone(UTC)
        return at.isoformat(" ")[:-_ZONE]
    if isinstance(value, uuid.UUID):
        return value.hex
    return _for_postgresql(value)


def _for_postgresql(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    return value.pk if isinstance(value, Model) else value


_PREPARE: dict[str, Callable[[Any], Any]] = {"sqlite": _for_sqlite, "postgresql": _for_postgresql}
_ZONE = len("+00:00")


def moment(value: Any) -> datetime:
    """A time of a column or of the clock as a driver gives it: SQLite's are text or have no zone, and mean UTC."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def as_time(value: Any) -> datetime | None:
    """The same, of a column that may be empty."""
    return None if value is None else moment(value)
