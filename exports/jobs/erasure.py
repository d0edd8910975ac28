"""What erasing a person means for exports: files that hold them go, and what was asked for by their id does not say it.

The register stays: it tells which exports, that somebody may have downloaded, contain whom; by pseudonyms.
"""

from exports.jobs.lifecycle import cancel_export, expire_export
from exports.models import Export, ExportState
from exports.subject_register import decrypt_register_key, exports_containing, make_pseudonym
from sync.erasure.redaction import without_entity, without_id

_OPEN_STATES = (ExportState.WAITING, ExportState.RUNNING)


def erase_from_exports(entity_id: str, name: str) -> int:
    """Erase an entity from exports; how many were concerned. `name` is what stands for it from now on.

    Whatever is being made is cancelled, for it may hold the entity by now: it can be asked for again. A file goes that
    holds the entity, or says that it was asked for. Once more does nothing more.
    """
    open_ones = Export.objects.filter(state__in=_OPEN_STATES)
    concerned = {each.pk for each in open_ones if cancel_export(each, by="system", address="")}
    containing = set(exports_containing(entity_id).values_list("pk", flat=True))
    for export in Export.objects.order_by("pk"):
        words, reason = _redacted_request(export, entity_id, name)
        is_named = words != export.filter or reason != export.reason
        has_file = export.state == ExportState.DONE
        if has_file and (is_named or export.pk in containing):
            expire_export(export)
            concerned.add(export.pk)
        if is_named:
            Export.objects.filter(pk=export.pk).update(filter=words, reason=reason[:500])
            concerned.add(export.pk)
    return len(concerned)


def _redacted_request(export: Export, entity_id: str, name: str) -> tuple[dict[str, str], str]:
    """The filter and the reason, as they may be kept."""
    alias = make_pseudonym(decrypt_register_key(export), entity_id).hex()  # as the audit log has it
    return (
        without_entity(export.filter, entity_id, alias),
        without_id(export.reason, entity_id, name),
    )
