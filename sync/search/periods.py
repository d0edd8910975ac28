"""Spans of time in the filters of lists: a period that ends now, or from one moment to another.

An address holds moments (`…Z`; without a zone they mean UTC), so that it means the same to everybody and at any time.
People type times of their own zone, and `absolute` makes moments of them.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo

PERIODS = ("1", "24", "168", "720")  # in hours


class NoSuchFilter(ValueError):
    """Words that mean no part of a list; the text says which."""


def span(words: Mapping[str, str], name: str, now: datetime) -> tuple[datetime | None, datetime | None]:
    """From when, included, and until when, not included, the words `<name>`, `<name>_from` and `<name>_to` mean.

    None where they set no bound. `NoSuchFilter`.
    """
    begins = [moment_of(words[f"{name}_from"])] if words.get(f"{name}_from") else []
    if words.get(name):
        begins.append(_period(words[name], now))
    until = moment_of(words[f"{name}_to"]) if words.get(f"{name}_to") else None
    return max(begins, default=None), until


def moment_of(text: str) -> datetime:
    """A day or a time, with a zone or of UTC. `NoSuchFilter`."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise NoSuchFilter(f"no time: {text[:40]}") from error


def absolute(words: Mapping[str, str], name: str, zone: tzinfo) -> dict[str, str]:
    """The words with moments in the place of the times that somebody typed (`<name>_from_local`, `<name>_to_local`).

    A bound that was left as it stood stays exactly what it was, fractions of seconds too. A text that is no time is
    left as it is, for `span` to refuse.
    """
    kept = {key: value for key, value in words.items() if not key.startswith(f"{name}_")}
    for edge in ("from", "to"):
        stood = words.get(f"{name}_{edge}", "")
        if text := words.get(f"{name}_{edge}_local", typed_of(stood, zone)):
            kept[f"{name}_{edge}"] = stood if text == typed_of(stood, zone) else _meant(text, edge, zone)
    return kept


def _meant(text: str, edge: str, zone: tzinfo) -> str:
    """A time that the clocks of the zone show twice, or leave out, has two readings; the span takes in both."""
    try:
        at = datetime.fromisoformat(text)
        readings = [at.replace(tzinfo=at.tzinfo or zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    except (ValueError, OverflowError):
        return text
    meant = min(readings) if edge == "from" else max(readings)
    return meant.isoformat().replace("+00:00", "Z")


def typed_of(text: str, zone: tzinfo) -> str:
    """A moment of an address as an input of the zone's times shows it; empty for none."""
    local = _local(text, zone)
    return "" if local is None else f"{local:%Y-%m-%dT%H:%M:%S}".removesuffix(":00")


def told_of(text: str, zone: tzinfo) -> str:
    """The same for people; what is no moment as it stands."""
    local = _local(text, zone)
    return text if local is None else f"{local:%Y-%m-%d %H:%M:%S}".removesuffix(":00") + f" {local:%Z}"


def _local(text: str, zone: tzinfo) -> datetime | None:
    try:
        return moment_of(text).astimezone(zone)
    except (NoSuchFilter, OverflowError):
        return None


def _period(hours: str, now: datetime) -> datetime:
    if hours not in PERIODS:
        raise NoSuchFilter("unknown period")
    return now - timedelta(hours=int(hours))
