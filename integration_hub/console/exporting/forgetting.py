"""What erasing a person means for exports: files that hold them go, and what was asked for by their id does not say it.

The register stays: it tells which exports, that somebody may have downloaded, contain whom; by pseudonyms.
"""

from integration_hub.console.exporting.jobs import cancel, expire
from integration_hub.console.exporting.register import exports_with, opened_key, without_people
from integration_hub.console.models import Export, ExportState

_OPEN = (ExportState.WAITING, ExportState.RUNNING)


def forget(entity_id: str, name: str) -> int:
    """Erase an entity from exports; how many were concerned. `name` is what stands for it from now on.

    Whatever is being made is cancelled, for it may hold the entity by now: it can be asked for again. Once more does
    nothing more.
    """
    concerned = set()
    for export in Export.objects.filter(state__in=_OPEN):
        if cancel(export, by="system", address=""):
            concerned.add(export.pk)
    for export in exports_with(entity_id).filter(state=ExportState.DONE):
        expire(export)
        concerned.add(export.pk)
    for export in Export.objects.filter(filter__icontains=entity_id):
        export.filter = without_people(export.filter, opened_key(export))
        export.save(update_fields=["filter"])
        concerned.add(export.pk)
    for export in Export.objects.filter(reason__icontains=entity_id):
        export.reason = export.reason.replace(entity_id, name)[:500]
        export.save(update_fields=["reason"])
        concerned.add(export.pk)
    return len(concerned)
