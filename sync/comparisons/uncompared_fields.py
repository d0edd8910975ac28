"""Name the fields of a mapping that a comparison does not compare, and why."""

from dataclasses import dataclass

from sync.mappings.field_gaps import parse_or_none
from sync.models import Comparison


@dataclass(frozen=True, slots=True)
class UncomparedFields:
    """Fields by the reason that they make no difference. `from_webhook`: their expression reads the webhook, which a
    comparison does not have. `created_only` are written once, `not_compared` only together with others.
    """

    from_webhook: tuple[str, ...] = ()
    created_only: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()


def find_uncompared(comparison: Comparison) -> UncomparedFields:
    """Return the fields that this comparison did not compare, by the version of the mapping that it used."""
    version = comparison.mapping_version
    mapping = None if version is None else parse_or_none(version.declaration)
    if mapping is None:
        return UncomparedFields()
    webhook = mapping.webhook_fields
    return UncomparedFields(
        tuple(sorted(webhook)),
        tuple(sorted(mapping.creation_fields - webhook)),
        tuple(sorted(mapping.uncompared_fields - webhook)),
    )
