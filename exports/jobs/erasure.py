"""Erase a person from exports: delete files that contain the person's data, and redact requests that name the person.

The register is not deleted: it records, by pseudonyms, which downloaded exports may contain which entity.
"""

from exports.jobs.lifecycle import cancel_export, expire_export
from exports.models import Export, ExportState
from exports.subject_register import decrypt_register_key, exports_containing, make_pseudonym
from sync.erasure.redaction import replace_id_in_filter, replace_id_in_text

_OPEN_STATES = (ExportState.AWAITING, ExportState.WAITING, ExportState.RUNNING)


def erase_from_exports(entity_id: str, name: str) -> int:
    """Erase an entity from exports. Returns the number of exports affected. `name` replaces the entity's id from
    now on.

    1. Cancel every export that is requested or still being made: it may contain the entity, and can be requested
       again.
    2. Delete the file of each export that contains the entity, or whose request names it.
    3. Replace the id in filter and reason.

    A second call changes nothing more.
    """
    open_exports = Export.objects.filter(state__in=_OPEN_STATES)
    affected = {export.pk for export in open_exports if cancel_export(export, by="system", address="")}
    with_entity = set(exports_containing(entity_id).values_list("pk", flat=True))
    for export in Export.objects.order_by("pk"):
        params, reason = _redacted_request(export, entity_id, name)
        is_named = params != export.filter or reason != export.reason
        has_file = export.state == ExportState.DONE
        if has_file and (is_named or export.pk in with_entity):
            expire_export(export)
            affected.add(export.pk)
        if is_named:
            # What replaces the id may be longer than the id.
            Export.objects.filter(pk=export.pk).update(filter=params, reason=reason[:500])
            affected.add(export.pk)
    return len(affected)


def _redacted_request(export: Export, entity_id: str, name: str) -> tuple[dict[str, str], str]:
    """Return the filter and the reason without the entity's id."""
    # The filter gets the pseudonym that the audit log has in its place.
    alias = make_pseudonym(decrypt_register_key(export), entity_id).hex()
    return (
        replace_id_in_filter(export.filter, entity_id, alias),
        replace_id_in_text(export.reason, entity_id, name),
    )
