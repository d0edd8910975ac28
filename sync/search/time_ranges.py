"""Parse and format time ranges of list filters: a period that ends now, or a range between two times.

An address holds times in UTC (`…Z`, or without a zone), so that it means the same to everybody at any time.
People type times in their own zone; `to_absolute_params` converts them.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo

PERIOD_HOURS = ("1", "24", "168", "720")  # in hours


class InvalidFilter(ValueError):
    """The parameters are not a valid filter; the message names them."""


def parse_range(
    params: Mapping[str, str], name: str, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """Return the inclusive start and the exclusive end of the parameters `<name>`, `<name>_from` and
    `<name>_to`.

    None where they set no bound. Raises InvalidFilter.
    """
    begins = [parse_moment(params[f"{name}_from"])] if params.get(f"{name}_from") else []
    if params.get(name):
        begins.append(_period_start(params[name], now))
    until = parse_moment(params[f"{name}_to"]) if params.get(f"{name}_to") else None
    return max(begins, default=None), until


def parse_moment(text: str) -> datetime:
    """Parse a date or time; without a zone it is in UTC. Raises InvalidFilter."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidFilter(f"not a time: {text[:40]}") from error


def to_absolute_params(params: Mapping[str, str], name: str, zone: tzinfo) -> dict[str, str]:
    """Replace the times that a person typed (`<name>_from_local`, `<name>_to_local`) by absolute ones.

    A bound that was not edited keeps its exact value, fractions of seconds included. A text that is not a time
    is left for `parse_range` to refuse.
    """
    absolute = {key: value for key, value in params.items() if not key.startswith(f"{name}_")}
    for edge in ("from", "to"):
        unedited = params.get(f"{name}_{edge}", "")
        if text := params.get(f"{name}_{edge}_local", to_input_value(unedited, zone)):
            absolute[f"{name}_{edge}"] = (
                unedited if text == to_input_value(unedited, zone) else _widest_reading(text, edge, zone)
            )
    return absolute


def _widest_reading(text: str, edge: str, zone: tzinfo) -> str:
    """Convert a local time to UTC. At a clock change it has two readings: take the one that makes the range
    wider.
    """
    try:
        at = datetime.fromisoformat(text)
        # At the end of summer time a local time occurs twice; `fold` selects one of the two.
        readings = [at.replace(tzinfo=at.tzinfo or zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    except (ValueError, OverflowError):
        return text
    reading = min(readings) if edge == "from" else max(readings)
    return reading.isoformat().replace("+00:00", "Z")


def to_input_value(text: str, zone: tzinfo) -> str:
    """Format a time of an address for an input in the given zone; empty for none."""
    local = _to_local(text, zone)
    return "" if local is None else f"{local:%Y-%m-%dT%H:%M:%S}".removesuffix(":00")


def format_moment(text: str, zone: tzinfo) -> str:
    """Format a time of an address for people, in the given zone; other text is returned unchanged."""
    local = _to_local(text, zone)
    return text if local is None else f"{local:%Y-%m-%d %H:%M:%S}".removesuffix(":00") + f" {local:%Z}"


def _to_local(text: str, zone: tzinfo) -> datetime | None:
    try:
        return parse_moment(text).astimezone(zone)
    except (InvalidFilter, OverflowError):
        return None


def _period_start(hours: str, now: datetime) -> datetime:
    if hours not in PERIOD_HOURS:
        raise InvalidFilter("unknown period")
    return now - timedelta(hours=int(hours))
