"""Spans of time in the filters of lists: a period that ends now, or from one moment to another."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

PERIODS = {"1": "last hour", "24": "last 24 hours", "168": "last 7 days", "720": "last 30 days"}


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


def _period(hours: str, now: datetime) -> datetime:
    if hours not in PERIODS:
        raise NoSuchFilter("unknown period")
    return now - timedelta(hours=int(hours))
