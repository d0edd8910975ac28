"""Spans of time in the filters of lists: a period that ends now, or from one moment to another.

An address holds moments (`…Z`; without a zone they mean UTC), so that it means the same to everybody and at any time.
People type times of their own zone, and `to_absolute_params` makes moments of them.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo

PERIOD_HOURS = ("1", "24", "168", "720")  # in hours


class InvalidFilter(ValueError):
    """Words that mean no part of a list; the text says which."""


def parse_range(
    params: Mapping[str, str], name: str, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """From when, included, and until when, not included, the words `<name>`, `<name>_from` and `<name>_to` mean.

    None where they set no bound. `InvalidFilter`.
    """
    begins = [parse_moment(params[f"{name}_from"])] if params.get(f"{name}_from") else []
    if params.get(name):
        begins.append(_period_start(params[name], now))
    until = parse_moment(params[f"{name}_to"]) if params.get(f"{name}_to") else None
    return max(begins, default=None), until


def parse_moment(text: str) -> datetime:
    """A day or a time, with a zone or of UTC. `InvalidFilter`."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidFilter(f"no time: {text[:40]}") from error


def to_absolute_params(params: Mapping[str, str], name: str, zone: tzinfo) -> dict[str, str]:
    """The words with moments in the place of the times that somebody typed (`<name>_from_local`, `<name>_to_local`).

    A bound that was left as it stood stays exactly what it was, fractions of seconds too. A text that is no time is
    left as it is, for `parse_range` to refuse.
    """
    kept = {key: value for key, value in params.items() if not key.startswith(f"{name}_")}
    for edge in ("from", "to"):
        stood = params.get(f"{name}_{edge}", "")
        if text := params.get(f"{name}_{edge}_local", to_input_value(stood, zone)):
            kept[f"{name}_{edge}"] = (
                stood if text == to_input_value(stood, zone) else _widest_reading(text, edge, zone)
            )
    return kept


def _widest_reading(text: str, edge: str, zone: tzinfo) -> str:
    """A time that the clocks of the zone show twice, or leave out, has two readings; the span takes in both."""
    try:
        at = datetime.fromisoformat(text)
        readings = [at.replace(tzinfo=at.tzinfo or zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    except (ValueError, OverflowError):
        return text
    meant = min(readings) if edge == "from" else max(readings)
    return meant.isoformat().replace("+00:00", "Z")


def to_input_value(text: str, zone: tzinfo) -> str:
    """A moment of an address as an input of the zone's times shows it; empty for none."""
    local = _to_local(text, zone)
    return "" if local is None else f"{local:%Y-%m-%dT%H:%M:%S}".removesuffix(":00")


def format_moment(text: str, zone: tzinfo) -> str:
    """The same for people; what is no moment as it stands."""
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
