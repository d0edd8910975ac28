"""The table of an entity and of the records that may belong to it, side by side."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from console.payloads.content import format_value
from sync.operations.match_decisions import HeldMatch


@dataclass(frozen=True, slots=True)
class CandidateColumn:
    """One record that was found. `is_taken`: it is linked to another entity by now."""

    record_id: str
    is_taken: bool


@dataclass(frozen=True, slots=True)
class CandidateCell:
    """A field of one record. `is_equal`: it has the entity's value."""

    record_id: str
    text: str
    is_equal: bool


@dataclass(frozen=True, slots=True)
class ComparedField:
    """One field of the entity and of each record found."""

    name: str
    entity_text: str
    cells: tuple[CandidateCell, ...]


@dataclass(frozen=True, slots=True)
class MatchTable:
    """The entity and the records found, field by field. `is_deleted`: the entity has no fields any more."""

    columns: tuple[CandidateColumn, ...]
    rows: tuple[ComparedField, ...]
    is_deleted: bool


def build_match_table(match: HeldMatch, taken: Collection[str], *, is_masked: bool) -> MatchTable:
    """Return the table of a match. `taken`: records that are linked to another entity by now. Values, and whether they
    are equal, are masked unless they were revealed.
    """
    return MatchTable(
        tuple(CandidateColumn(one.record_id, one.record_id in taken) for one in match.candidates),
        tuple(_compare_fields(match, is_masked=is_masked)),
        is_deleted=not match.mapped_fields,
    )


def _compare_fields(match: HeldMatch, *, is_masked: bool) -> list[ComparedField]:
    names = list(match.mapped_fields) or list(match.candidates[0].fields if match.candidates else ())
    return [
        ComparedField(
            name,
            format_value(match.mapped_fields.get(name), is_masked=is_masked),
            tuple(
                CandidateCell(
                    candidate.record_id,
                    format_value(candidate.fields.get(name), is_masked=is_masked),
                    not is_masked and _is_equal(match.mapped_fields.get(name), candidate.fields.get(name)),
                )
                for candidate in match.candidates
            ),
        )
        for name in names
    ]


def _is_equal(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, str) and isinstance(value, str):
        return wanted.casefold() == value.casefold()
    return wanted is not None and bool(wanted == value)
