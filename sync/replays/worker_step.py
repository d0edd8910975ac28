"""What a worker does for bulk replays, once a second: note what ended, send what is next, clear up once an hour."""

from sync.execution.periodic import Every, Work, run_periodic
from sync.replays.batches import send_due
from sync.replays.event_set import discard_old
from sync.replays.progress import note_ends


def look() -> None:
    """First the ends: they may pause what would be sent."""
    note_ends()
    send_due()
    run_periodic((Work("replay-choices", Every(3600.0), discard_old),))
