"""An export is made by one worker at a time, and so many at once as EXPORTS_AT_ONCE says; the database decides."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from database.clock import database_now
from database.statement import Statement
from exports.models import Export, ExportState

LEASE_SECONDS = 60.0
# Asked each second: past the ORM.
_ANY = Statement("SELECT 1 FROM exports_export WHERE state IN ('waiting', 'running') LIMIT 1")


class Stopped(Exception):
    """This process is told to end."""


class Lost(Exception):
    """The export is ours no more: it was cancelled, or another worker has it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An export that is ours as long as we write often enough."""

    export_id: int
    token: uuid.UUID

    def keep(self, alias: str, values: Mapping[str, Any] | None = None) -> None:
        """Write, and hold it for another minute. `Lost`."""
        until = database_now(plus_seconds=LEASE_SECONDS)
        if not self._ours(alias).update(**(values or {}), lease_until=until):
            raise Lost

    def end(self, state: ExportState, **values: Any) -> None:
        """Give it back in another state. `Lost`."""
        free = {"state": state, "token": None, "lease_until": None, "slot": None}
        if not self._ours("default").update(**values, **free):
            raise Lost

    def hand_back(self) -> None:
        """Let the next worker go on where we stopped. `Lost`."""
        self.end(ExportState.WAITING)

    def _ours(self, alias: str) -> Any:
        return Export.objects.using(alias).filter(
            pk=self.export_id, token=self.token, state=ExportState.RUNNING
        )


def claim_next() -> Claim | None:
    """The oldest export that waits or whose worker is gone, where one more may be made."""
    if not _ANY.row():
        return None
    gone = Export.objects.filter(state=ExportState.RUNNING, lease_until__lte=database_now())
    gone.update(state=ExportState.WAITING, token=None, lease_until=None, slot=None)
    waiting = Export.objects.filter(state=ExportState.WAITING).order_by("id").values_list("pk", flat=True)
    taken = set(Export.objects.filter(slot__isnull=False).values_list("slot", flat=True))
    for slot in set(range(settings.EXPORTS_AT_ONCE)) - taken:
        for key in waiting[:1]:
            return claim(key, slot)
    return None


def claim(key: int, slot: int | None = None) -> Claim | None:
    """This export, if it waits; None where somebody was faster. A command takes no slot: it is its own worker."""
    made = Claim(key, uuid.uuid4())
    until = database_now(plus_seconds=LEASE_SECONDS)
    try:
        with transaction.atomic():
            won = Export.objects.filter(pk=key, state=ExportState.WAITING).update(
                state=ExportState.RUNNING, token=made.token, lease_until=until, slot=slot
            )
    except IntegrityError:  # another worker took the slot
        return None
    return made if won else None
