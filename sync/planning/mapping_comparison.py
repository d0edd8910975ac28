"""What a mapping makes of an entity beside what another one makes of it. Pure: nobody is called, nothing is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sync.planning.change import same_json
from sync.planning.mapping import ParsedMapping, Unmappable, gettext_noop


class Comparison(StrEnum):
    """What a draft does to one event, beside the version in force."""

    SAME = "same"
    DIFFERENT = "different"
    FAILS_NOW = "fails-now"
    WORKS_NOW = "works-now"
    FAILS_BOTH = "fails-both"


@dataclass(frozen=True, slots=True)
class Mapped:
    """What was given to a mapping for one event. `is_part`: it was relayed, and tells a part of the entity only."""

    entity: Mapping[str, Any]
    webhook: Mapping[str, Any]
    is_part: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """What a mapping made of it: the record's fields and by what the record is looked up, or the field that fails."""

    fields: Mapping[str, Any] | None
    keys: Mapping[str, Any]
    failing: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Differing:
    """One field that comes out otherwise. `was_there`, `is_there`: whether each of the two sends it at all."""

    name: str
    before: Any
    after: Any
    was_there: bool
    is_there: bool


@dataclass(frozen=True, slots=True)
class Compared:
    """Both side by side."""

    outcome: Comparison
    fields: tuple[Differing, ...]
    before: Made
    after: Made

    @property
    def names(self) -> tuple[str, ...]:
        """The fields concerned: those that differ, or the one that fails in one of them only."""
        if self.outcome is Comparison.FAILS_NOW:
            return (self.after.failing,)
        if self.outcome is Comparison.WORKS_NOW:
            return (self.before.failing,)
        return tuple(each.name for each in self.fields)


def make(mapping: ParsedMapping | None, given: Mapped) -> Made:
    """What a delivery would make of it by this mapping; None: there was no version yet."""
    if mapping is None:
        return Made(None, {}, "mapping", gettext_noop("it has no version yet"))
    apply_mapping = mapping.apply_part if given.is_part else mapping.apply
    try:
        fields = apply_mapping(given.entity, given.webhook)
    except Unmappable as error:
        return Made(None, {}, error.field, error.reason)
    previous = given.webhook.get("previous")
    old = mapping.previous_values(previous) if isinstance(previous, dict) else []
    keys = {
        "match.external_id": mapping.match.external_id,
        "match.previous": [list(pair) for pair in old],
        "match.new": list(mapping.match.new),
    }
    return Made(fields, keys)


def compare(current: ParsedMapping | None, draft: ParsedMapping, given: Mapped) -> Compared:
    """The two of them over the same event."""
    before, after = make(current, given), make(draft, given)
    if before.fields is None or after.fields is None:
        outcomes = {
            (True, True): Comparison.FAILS_BOTH,
            (True, False): Comparison.WORKS_NOW,
            (False, True): Comparison.FAILS_NOW,
        }
        return Compared(outcomes[before.fields is None, after.fields is None], (), before, after)
    fields = (*_differing(before.fields, after.fields), *_differing(before.keys, after.keys))
    return Compared(Comparison.DIFFERENT if fields else Comparison.SAME, fields, before, after)


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Differing]:
    return [
        Differing(name, before.get(name), after.get(name), name in before, name in after)
        for name in {**before, **after}
        if (name in before) != (name in after) or not same_json(before.get(name), after.get(name))
    ]
