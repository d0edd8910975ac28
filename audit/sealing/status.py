"""How far the log is sealed, told outside and verified: five statements whatever its length."""

from dataclasses import dataclass
from datetime import datetime

from audit.models import Entry, Outlet, Segment, Verification
from audit.sealing.unsealed_entries import last_segment


@dataclass(frozen=True, slots=True)
class SealingStatus:
    """`unsealed_since`: of the oldest entry that no segment holds yet. `late_at`: when the newest late segment was
    sealed. `verified`: the last look at the whole log; its `segments` are verified where it has no faults."""

    segments: int
    sealed_at: datetime | None
    unsealed_since: datetime | None
    late_at: datetime | None
    late: int
    outlets: tuple[Outlet, ...]
    verified: Verification | None


def sealing_status() -> SealingStatus:
    """As it is now."""
    last = last_segment()
    unsealed = Entry.objects.filter(id__gt=last.highest_id).order_by("id").values_list("at", flat=True)
    late = Segment.objects.filter(is_late=True).order_by("-number").values_list("sealed_at", "count").first()
    return SealingStatus(
        segments=last.number,
        sealed_at=last.sealed_at,
        unsealed_since=unsealed.first(),
        late_at=late[0] if late else None,
        late=late[1] if late else 0,
        outlets=tuple(Outlet.objects.order_by("name")),
        verified=Verification.objects.order_by("-id").first(),
    )
