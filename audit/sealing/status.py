"""Status of the log's integrity: sealed, published and verified up to when. Five statements for any log."""

from dataclasses import dataclass
from datetime import datetime

from audit.models import Entry, Outlet, Segment, Verification
from audit.sealing.unsealed_entries import last_segment


@dataclass(frozen=True, slots=True)
class SealingStatus:
    """The status of sealing.

    `unsealed_since` is the time of the oldest unsealed entry, `late_at` that of the newest late segment, `verified` the
    last verification of the whole log, `unverified_since` its time, or that of the first segment if there was none.
    """

    segments: int
    sealed_at: datetime | None
    unsealed_since: datetime | None
    late_at: datetime | None
    late: int
    outlets: tuple[Outlet, ...]
    verified: Verification | None
    unverified_since: datetime | None = None


def sealing_status() -> SealingStatus:
    """Read the present status."""
    last = last_segment()
    unsealed = Entry.objects.filter(id__gt=last.highest_id).order_by("id").values_list("at", flat=True)
    late = Segment.objects.filter(is_late=True).order_by("-number").values_list("sealed_at", "count").first()
    verified = Verification.objects.order_by("-id").first()
    return SealingStatus(
        segments=last.number,
        sealed_at=last.sealed_at,
        unsealed_since=unsealed.first(),
        late_at=late[0] if late else None,
        late=late[1] if late else 0,
        outlets=tuple(Outlet.objects.order_by("name")),
        verified=verified,
        unverified_since=verified.at if verified else _first_sealed_at(),
    )


def _first_sealed_at() -> datetime | None:
    return Segment.objects.order_by("number").values_list("sealed_at", flat=True).first()
