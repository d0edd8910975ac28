"""Compare the results of two mappings for the same entity. Pure: no calls, nothing stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sync.planning.change import json_equal
from sync.planning.mapping import EntityNotMappable, MappingOverBudget, ParsedMapping


class ComparisonOutcome(StrEnum):
    """Effect of a draft on one event, compared with the version in force."""

    SAME = "same"
    DIFFERENT = "different"
    FAILS_NOW = "fails-now"
    WORKS_NOW = "works-now"
    FAILS_BOTH = "fails-both"


@dataclass(frozen=True, slots=True)
class MappingInput:
    """Input of a mapping for one event. `is_partial`: the event was relayed and contains a part of the entity
    only.
    """

    entity: Mapping[str, Any]
    webhook: Mapping[str, Any]
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class MappingResult:
    """Result of a mapping: the record's fields and its match keys, or the field that failed and why.

    `is_over_budget`: it failed because it costs too much.
    """

    fields: Mapping[str, Any] | None
    keys: Mapping[str, Any]
    failing_field: str = ""
    problem: str = ""
    is_over_budget: bool = False


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One field that the two mappings fill differently. `is_sent_before`, `is_sent_after`: the mapping sends it."""

    name: str
    before: Any
    after: Any
    is_sent_before: bool
    is_sent_after: bool


@dataclass(frozen=True, slots=True)
class MappingComparison:
    """Comparison of two mapping results."""

    outcome: ComparisonOutcome
    fields: tuple[FieldDifference, ...]
    before: MappingResult
    after: MappingResult

    @property
    def affected_fields(self) -> tuple[str, ...]:
        """Return the fields that differ, or the one that fails in only one of the mappings."""
        if self.outcome is ComparisonOutcome.FAILS_NOW:
            return (self.after.failing_field,)
        if self.outcome is ComparisonOutcome.WORKS_NOW:
            return (self.before.failing_field,)
        return tuple(difference.name for difference in self.fields)


def run_mapping(mapping: ParsedMapping | None, mapping_input: MappingInput) -> MappingResult:
    """Run a mapping as a delivery would. None stands for a mapping without a version yet, which fails."""
    if mapping is None:
        return MappingResult(None, {}, "mapping", "it has no version yet")
    apply_mapping = mapping.map_partial_entity if mapping_input.is_partial else mapping.map_entity
    previous = mapping_input.webhook.get("previous")
    try:
        fields = apply_mapping(mapping_input.entity, mapping_input.webhook)
        old = mapping.previous_values([previous] if isinstance(previous, dict) else [])
        new = mapping.new_values(mapping_input.entity, mapping_input.webhook, fields)
    except EntityNotMappable as error:
        return MappingResult(None, {}, error.field, error.reason, isinstance(error, MappingOverBudget))
    keys = {
        "match.external_id": mapping.match.external_id,
        "match.previous": [[value.field, value.value] for value in old],
        "match.new": list(mapping.match.new),
        "match.verified": [[value.field, value.value] for value in (*old, *new) if value.is_verified],
    }
    return MappingResult(fields, keys)


def compare_mappings(
    current: ParsedMapping | None, draft: ParsedMapping, mapping_input: MappingInput
) -> MappingComparison:
    """Run two mappings on the same input and compare their results."""
    before, after = run_mapping(current, mapping_input), run_mapping(draft, mapping_input)
    if before.fields is None or after.fields is None:
        outcomes = {
            (True, True): ComparisonOutcome.FAILS_BOTH,
            (True, False): ComparisonOutcome.WORKS_NOW,
            (False, True): ComparisonOutcome.FAILS_NOW,
        }
        return MappingComparison(outcomes[before.fields is None, after.fields is None], (), before, after)
    fields = (*_find_differences(before.fields, after.fields), *_find_differences(before.keys, after.keys))
    return MappingComparison(
        ComparisonOutcome.DIFFERENT if fields else ComparisonOutcome.SAME, fields, before, after
    )


def _find_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldDifference]:
    return [
        FieldDifference(name, before.get(name), after.get(name), name in before, name in after)
        for name in {**before, **after}
        if (name in before) != (name in after) or not json_equal(before.get(name), after.get(name))
    ]
